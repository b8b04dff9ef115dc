// Builds core files, as the kernel writes them, of processes that never were.
#pragma once

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <elf.h>
#include <string>
#include <sys/procfs.h>
#include <sys/user.h>
#include <vector>

namespace leak::test {

class CoreBuilder {
public:
    explicit CoreBuilder(uint32_t pid, const std::string& command = "program")
    {
        process_.pr_pid = static_cast<pid_t>(pid);
        std::strncpy(process_.pr_fname, command.c_str(), sizeof process_.pr_fname - 1);
    }

    // memory_bytes: of which `words` are the first; 0: they are all.
    CoreBuilder& segment(uint64_t address, uint32_t flags, const std::vector<uint64_t>& words,
                         uint64_t memory_bytes = 0)
    {
        segments_.push_back({address, flags, words, memory_bytes == 0 ? words.size() * 8 : memory_bytes});
        return *this;
    }
    CoreBuilder& thread(uint32_t tid, uint64_t stack_pointer, uint64_t thread_pointer, uint64_t rbx = 0)
    {
        user_regs_struct registers = {};
        registers.rsp = stack_pointer;
        registers.fs_base = thread_pointer;
        registers.rbx = rbx;
        elf_prstatus status = {};
        status.pr_pid = static_cast<pid_t>(tid);
        status.pr_cursig = SIGABRT;
        std::memcpy(&status.pr_reg, &registers, sizeof registers);
        threads_.push_back(status);
        return *this;
    }
    CoreBuilder& file(uint64_t begin, uint64_t end, const std::string& path)
    {
        files_.push_back({begin, end, path});
        return *this;
    }
    // As gcore does it: the notes behind the memory, and which process it is first.
    CoreBuilder& as_gcore()
    {
        is_gcore_ = true;
        return *this;
    }

    [[nodiscard]] std::vector<std::byte> build() const
    {
        const std::vector<std::byte> notes = build_notes();
        const size_t headers = sizeof(Elf64_Ehdr) + (segments_.size() + 1) * sizeof(Elf64_Phdr);
        size_t at = (headers + (is_gcore_ ? 0 : notes.size()) + 4095) / 4096 * 4096;
        std::vector<Elf64_Phdr> list(1);
        list[0].p_type = PT_NOTE;
        std::vector<std::byte> bytes(at);
        for (const Segment& segment : segments_) {
            Elf64_Phdr header = {};
            header.p_type = PT_LOAD;
            header.p_flags = segment.flags;
            header.p_vaddr = segment.address;
            header.p_memsz = segment.memory_bytes;
            header.p_filesz = segment.words.size() * 8;
            header.p_offset = bytes.size();
            list.push_back(header);
            append(bytes, segment.words.data(), segment.words.size() * 8);
        }
        list[0].p_offset = is_gcore_ ? bytes.size() : headers;
        list[0].p_filesz = notes.size();
        if (is_gcore_)
            append(bytes, notes.data(), notes.size());
        else
            std::ranges::copy(notes, bytes.begin() + static_cast<std::ptrdiff_t>(headers));
        Elf64_Ehdr header = {};
        std::memcpy(header.e_ident, ELFMAG, SELFMAG);
        header.e_ident[EI_CLASS] = ELFCLASS64;
        header.e_ident[EI_DATA] = ELFDATA2LSB;
        header.e_type = ET_CORE;
        header.e_machine = EM_X86_64;
        header.e_phoff = sizeof header;
        header.e_phentsize = sizeof(Elf64_Phdr);
        header.e_phnum = static_cast<uint16_t>(list.size());
        std::memcpy(bytes.data(), &header, sizeof header);
        std::memcpy(bytes.data() + sizeof header, list.data(), list.size() * sizeof(Elf64_Phdr));
        return bytes;
    }

private:
    struct Segment {
        uint64_t address;
        uint32_t flags;
        std::vector<uint64_t> words;
        uint64_t memory_bytes;
    };
    struct File {
        uint64_t begin;
        uint64_t end;
        std::string path;
    };

    static void append(std::vector<std::byte>& bytes, const void* from, size_t count)
    {
        const auto* begin = static_cast<const std::byte*>(from);
        bytes.insert(bytes.end(), begin, begin + count);
    }

    static void add_note(std::vector<std::byte>& notes, uint32_t type, const void* text, size_t bytes)
    {
        const Elf64_Nhdr header{5, static_cast<Elf64_Word>(bytes), type};
        append(notes, &header, sizeof header);
        append(notes, "CORE\0\0\0", 8);
        append(notes, text, bytes);
        notes.resize((notes.size() + 3) / 4 * 4);
    }

    [[nodiscard]] std::vector<std::byte> build_notes() const
    {
        std::vector<std::byte> notes;
        if (is_gcore_) add_note(notes, NT_PRPSINFO, &process_, sizeof process_);
        for (size_t i = 0; i < threads_.size(); ++i) {
            add_note(notes, NT_PRSTATUS, &threads_[i], sizeof threads_[i]);
            if (i > 0 || is_gcore_) continue;
            add_note(notes, NT_PRPSINFO, &process_, sizeof process_);
            add_files(notes);
        }
        if (is_gcore_) add_files(notes);
        return notes;
    }

    void add_files(std::vector<std::byte>& notes) const
    {
        if (files_.empty()) return;
        std::vector<uint64_t> numbers{files_.size(), 4096};
        std::string paths;
        for (const File& file : files_) {
            numbers.insert(numbers.end(), {file.begin, file.end, 0});
            paths += file.path + '\0';
        }
        std::vector<std::byte> text;
        append(text, numbers.data(), numbers.size() * 8);
        append(text, paths.data(), paths.size());
        add_note(notes, NT_FILE, text.data(), text.size());
    }

    elf_prpsinfo process_ = {};
    std::vector<elf_prstatus> threads_;
    std::vector<Segment> segments_;
    std::vector<File> files_;
    bool is_gcore_ = false;
};

} // namespace leak::test
