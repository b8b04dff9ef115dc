#include "analyzer/decode/core_file.hpp"

#include "analyzer/user_error.hpp"
#include "format/layout.hpp"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <sys/procfs.h>
#include <sys/user.h>

namespace leak::analyzer {

namespace {

constexpr uint64_t kMostNoteBytes = uint64_t{256} << 20; // of all: some kilobytes a thread
constexpr uint64_t kMostSegments = uint64_t{1} << 24;
constexpr uint64_t kKernelHalf = uint64_t{1} << 63; // no memory of a process lies there
constexpr size_t kVectorBegin = 160;                // of the first xmm register in the area of fxsave and xsave

[[noreturn]] void refuse(const FileReader& file, uint64_t offset, const std::string& what)
{
    throw UserError(file.path(), offset, what);
}

[[nodiscard]] std::string_view name_in(std::string_view path)
{
    constexpr std::string_view kDeleted = " (deleted)";
    if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
    return path.substr(path.rfind('/') + 1); // none: the whole
}

[[nodiscard]] Elf64_Ehdr read_header(const FileReader& file)
{
    if (file.size_bytes() == 0) refuse(file, 0, "the core file is empty; dump it again, with room on the disk");
    Elf64_Ehdr header = {};
    const size_t got = file.read_at(0, std::as_writable_bytes(std::span(&header, 1)));
    uint32_t magic = 0;
    std::memcpy(&magic, &header, sizeof magic);
    if (magic == format::kFrameMagic) refuse(file, 0, "this is a trace and no core file; write --core COREFILE TRACE");
    if (got < SELFMAG || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        refuse(file, 0, "this is no core file; if it was compressed, decompress it first");
    if (got < EI_NIDENT || header.e_ident[EI_CLASS] == ELFCLASS32)
        refuse(file, EI_CLASS,
               got < EI_NIDENT ? "the core file ends inside its header; copy or dump it again"
                               : "this is a core of a 32-bit process; leakan reads those of x86-64");
    if (got < sizeof header) refuse(file, got, "the core file ends inside its header; copy or dump it again");
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_X86_64)
        refuse(file, EI_CLASS, "this is a file of another machine; leakan reads cores of x86-64");
    if (header.e_type != ET_CORE)
        refuse(file, offsetof(Elf64_Ehdr, e_type),
               "this is a program or a library and no core file; name what the kernel or gcore wrote");
    if (header.e_phentsize != sizeof(Elf64_Phdr))
        refuse(file, offsetof(Elf64_Ehdr, e_phentsize),
               "the header of the core file is damaged; copy or dump it again");
    return header;
}

// elf(5): with more than 65,534 segments the number is in the first section header.
[[nodiscard]] uint64_t segment_count(const FileReader& file, const Elf64_Ehdr& header)
{
    if (header.e_phnum != PN_XNUM) return header.e_phnum;
    Elf64_Shdr first = {};
    if (header.e_shoff == 0 || !file.read_value(header.e_shoff, first))
        refuse(file, header.e_shoff,
               "the core file ends before it says how many segments it has; copy or dump it again");
    return first.sh_info;
}

[[nodiscard]] std::vector<Elf64_Phdr> read_program_headers(const FileReader& file, const Elf64_Ehdr& header)
{
    const uint64_t count = segment_count(file, header);
    const uint64_t size = file.size_bytes();
    const uint64_t bytes = count * sizeof(Elf64_Phdr);
    if (count > kMostSegments || header.e_phoff > size || bytes > size - header.e_phoff)
        refuse(file, size, "the core file ends inside its list of segments; copy or dump it again");
    std::vector<Elf64_Phdr> headers(count);
    if (file.read_at(header.e_phoff, std::as_writable_bytes(std::span(headers))) != bytes)
        refuse(file, header.e_phoff, "the list of segments can't be read; copy the core file again");
    return headers;
}

// Drops those behind that overlap one before; returns how many.
template <typename Range> uint64_t sort_and_separate(std::vector<Range>& ranges)
{
    std::ranges::stable_sort(ranges, {}, &Range::begin);
    uint64_t end = 0;
    return std::erase_if(ranges, [&end](const Range& range) {
        if (range.begin < end) return true;
        end = range.end;
        return false;
    });
}

void take_segments(const std::vector<Elf64_Phdr>& headers, CoreFile& core)
{
    const uint64_t size = core.file.size_bytes();
    uint64_t left = size; // of the file: no byte belongs to two
    for (const Elf64_Phdr& header : headers) {
        if (header.p_type != PT_LOAD || header.p_memsz == 0) continue;
        const uint64_t stored = std::min(header.p_filesz, header.p_memsz);
        const uint64_t there = header.p_offset >= size ? 0 : std::min(stored, size - header.p_offset);
        const bool wraps = header.p_vaddr + header.p_memsz < header.p_vaddr;
        if (wraps || header.p_vaddr % sizeof(uint64_t) != 0 || there > left) {
            ++core.odd_segments;
            continue;
        }
        left -= there;
        if (header.p_vaddr + header.p_memsz > kKernelHalf) continue; // [vsyscall]
        core.segments.push_back({.begin = header.p_vaddr,
                                 .end = header.p_vaddr + header.p_memsz,
                                 .stored_end = header.p_vaddr + there,
                                 .offset = header.p_offset,
                                 .missing = stored - there,
                                 .flags = header.p_flags});
    }
    core.odd_segments += sort_and_separate(core.segments);
}

// The notes of one segment in turn.
class NoteReader {
public:
    // left: bytes of notes that are still read; less by these.
    NoteReader(CoreFile& core, const Elf64_Phdr& header, uint64_t& left) : core_(core), at_(header.p_offset)
    {
        const uint64_t size = core.file.size_bytes();
        const uint64_t there = std::min(left, at_ >= size ? 0 : size - at_);
        if (there < header.p_filesz) core.notes_are_cut = true;
        end_ = at_ + std::min(there, header.p_filesz);
        left -= end_ - at_;
    }

    void run()
    {
        Elf64_Nhdr note = {};
        while (end_ - at_ >= sizeof note && core_.file.read_value(at_, note)) {
            const uint64_t name_at = at_ + sizeof note;
            const uint64_t text_at = name_at + aligned(note.n_namesz);
            const uint64_t next = text_at + aligned(note.n_descsz);
            const bool is_nothing = note.n_namesz == 0 && note.n_descsz == 0; // zeros, as far as they go
            if (is_nothing || text_at + note.n_descsz > end_) {
                core_.notes_are_cut = true;
                return;
            }
            text_.resize(note.n_descsz);
            if (core_.file.read_at(text_at, text_) != text_.size()) {
                core_.notes_are_cut = true;
                return;
            }
            take(note.n_type);
            if (next >= end_) return;
            at_ = next;
        }
    }

private:
    [[nodiscard]] static uint64_t aligned(uint64_t bytes) { return (bytes + 3) & ~uint64_t{3}; }

    void take(uint32_t type)
    {
        switch (type) {
        case NT_PRSTATUS:
            return take_thread();
        case NT_PRPSINFO:
            return take_process();
        case NT_FPREGSET:
        case NT_X86_XSTATE:
            return take_extensions();
        case NT_AUXV:
            return take_auxiliary();
        case NT_FILE:
            return take_mappings();
        default:
            return;
        }
    }

    template <typename T> [[nodiscard]] bool read(T& value)
    {
        if (text_.size() < sizeof value) {
            core_.notes_are_cut = true;
            return false;
        }
        std::memcpy(&value, text_.data(), sizeof value);
        return true;
    }

    void take_thread()
    {
        elf_prstatus status = {};
        if (!read(status)) return;
        user_regs_struct registers = {};
        static_assert(sizeof registers == sizeof status.pr_reg);
        std::memcpy(&registers, &status.pr_reg, sizeof registers);
        if (core_.threads.empty()) {
            core_.signal = static_cast<uint32_t>(status.pr_cursig);
            core_.is_by_kernel = !has_process_; // gcore says first what process it is
        }
        core_.threads.push_back(
            {.tid = static_cast<uint32_t>(status.pr_pid),
             .stack_pointer = registers.rsp,
             .thread_pointer = registers.fs_base,
             .registers = {registers.rax, registers.rbx, registers.rcx, registers.rdx, registers.rsi, registers.rdi,
                           registers.rbp, registers.rsp, registers.r8, registers.r9, registers.r10, registers.r11,
                           registers.r12, registers.r13, registers.r14, registers.r15},
             .extensions = {}});
    }

    void take_process()
    {
        elf_prpsinfo process = {};
        if (!read(process)) return;
        has_process_ = true;
        core_.pid = static_cast<uint32_t>(process.pr_pid);
        core_.command.assign(process.pr_fname, ::strnlen(process.pr_fname, sizeof process.pr_fname));
    }

    // Of the thread whose status came before.
    void take_extensions()
    {
        if (core_.threads.empty()) return;
        std::vector<uint64_t>& words = core_.threads.back().extensions;
        for (size_t at = kVectorBegin; at + sizeof(uint64_t) <= text_.size(); at += sizeof(uint64_t)) {
            uint64_t word = 0;
            std::memcpy(&word, text_.data() + at, sizeof word);
            if (word != 0) words.push_back(word);
        }
    }

    void take_auxiliary()
    {
        for (size_t at = 0; at + sizeof(Elf64_auxv_t) <= text_.size(); at += sizeof(Elf64_auxv_t)) {
            Elf64_auxv_t entry = {};
            std::memcpy(&entry, text_.data() + at, sizeof entry);
            if (entry.a_type == AT_RANDOM) core_.random_at = entry.a_un.a_val;
        }
    }

    // fs/binfmt_elf.c, fill_files_note(): a count, the size of a page, begin, end and offset of each, then their paths.
    void take_mappings()
    {
        constexpr size_t kEntryBytes = 3 * sizeof(uint64_t), kFirst = 2 * sizeof(uint64_t);
        uint64_t count = 0;
        if (!read(count)) return;
        if (text_.size() < kFirst || count > (text_.size() - kFirst) / kEntryBytes) {
            core_.notes_are_cut = true;
            return;
        }
        const char* const end = reinterpret_cast<const char*>(text_.data()) + text_.size();
        const char* path = reinterpret_cast<const char*>(text_.data()) + kFirst + count * kEntryBytes;
        for (uint64_t i = 0; i < count; ++i) {
            CoreMapping mapping;
            std::memcpy(&mapping.begin, text_.data() + kFirst + i * kEntryBytes, sizeof(uint64_t));
            std::memcpy(&mapping.end, text_.data() + kFirst + i * kEntryBytes + sizeof(uint64_t), sizeof(uint64_t));
            const size_t length = ::strnlen(path, static_cast<size_t>(end - path));
            mapping.path.assign(path, length);
            path = std::min(end, path + length + 1);
            if (mapping.begin < mapping.end) core_.mappings.push_back(std::move(mapping));
        }
    }

    CoreFile& core_;
    uint64_t at_;
    uint64_t end_ = 0;
    bool has_process_ = false;
    std::vector<std::byte> text_;
};

template <typename Range> [[nodiscard]] const Range* range_at(const std::vector<Range>& ranges, uint64_t address)
{
    const auto behind = std::ranges::upper_bound(ranges, address, {}, &Range::begin);
    if (behind == ranges.begin() || address >= std::prev(behind)->end) return nullptr;
    return &*std::prev(behind);
}

} // namespace

std::string_view CoreMapping::file_name() const
{
    return name_in(path);
}

bool CoreMapping::may_be(std::string_view other) const
{
    const auto without_version = [](std::string_view name) {
        constexpr std::string_view kShared = ".so";
        const size_t at = name.find(kShared);
        return at == std::string_view::npos ? name : name.substr(0, at + kShared.size());
    };
    return without_version(file_name()) == without_version(name_in(other));
}

const CoreSegment* CoreFile::segment_at(uint64_t address) const
{
    return range_at(segments, address);
}

const CoreMapping* CoreFile::mapping_at(uint64_t address) const
{
    return range_at(mappings, address);
}

size_t CoreFile::read(uint64_t address, std::span<std::byte> to) const
{
    size_t done = 0;
    while (done < to.size()) {
        const CoreSegment* const segment = segment_at(address + done);
        if (segment == nullptr || address + done >= segment->stored_end) break;
        const uint64_t within = address + done - segment->begin;
        const uint64_t most = std::min<uint64_t>(to.size() - done, segment->stored_end - (address + done));
        const size_t got = file.read_at(segment->offset + within, to.subspan(done, most));
        done += got;
        if (got < most) break;
    }
    return done;
}

CoreFile open_core(const std::filesystem::path& path)
{
    FileReader file(path, "core file", "a core file");
    const Elf64_Ehdr header = read_header(file);
    const std::vector<Elf64_Phdr> headers = read_program_headers(file, header);
    const uint64_t written_unix_ns = file.modified_unix_ns();
    CoreFile core{.file = std::move(file),
                  .written_unix_ns = written_unix_ns,
                  .command = {},
                  .segments = {},
                  .threads = {},
                  .mappings = {}};
    take_segments(headers, core);
    uint64_t left = kMostNoteBytes;
    for (const Elf64_Phdr& one : headers)
        if (one.p_type == PT_NOTE) NoteReader(core, one, left).run();
    sort_and_separate(core.mappings);
    if (core.threads.empty())
        refuse(core.file, core.notes_are_cut ? core.file.size_bytes() : header.e_phoff,
               core.notes_are_cut
                   ? "the core file ends before its threads, which gcore writes last, or they are damaged; "
                     "copy it again, or dump again with more room (ulimit -c, the disk)"
                   : "the core file has no threads; name one that the kernel or gcore wrote");
    return core;
}

} // namespace leak::analyzer
