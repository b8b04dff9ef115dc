// A core dump of a process, as the kernel or gcore writes it: what is where, without reading the memory yet.
//
// One thread. Memory is bounded by the number of mappings and threads. Cores are often cut (ulimit -c, a full disk):
// what is missing is counted. The layout is that of elf(5), core(5) and the kernel's fs/binfmt_elf.c.
#pragma once

#include "analyzer/decode/file_reader.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace leak::analyzer {

// A mapping of the process (PT_LOAD).
struct CoreSegment {
    uint64_t begin = 0; // address
    uint64_t end = 0;
    uint64_t stored_end = 0; // up to here its bytes are in the file
    uint64_t offset = 0;     // in the file, of `begin`
    uint64_t missing = 0;    // bytes behind stored_end that the core should have
    uint32_t flags = 0;      // PF_R | PF_W | PF_X
};

struct CoreThread {
    uint32_t tid = 0;
    uint64_t stack_pointer = 0;
    uint64_t thread_pointer = 0;      // fs: where glibc has the thread's control block
    std::vector<uint64_t> registers;  // the general ones
    std::vector<uint64_t> extensions; // words of the state of floating point and vector registers
};

// A file that the process had mapped (NT_FILE).
struct CoreMapping {
    uint64_t begin = 0;
    uint64_t end = 0;
    std::string path; // " (deleted)" behind those that are gone

    [[nodiscard]] std::string_view file_name() const;
    // Whether it may be the file of that path by its name, without folders and the version of a library: the path may
    // be that of a link.
    [[nodiscard]] bool may_be(std::string_view other) const;
};

struct CoreFile {
    FileReader file;
    uint64_t written_unix_ns = 0; // when it was finished, as far as the file still tells; 0: it does not
    uint32_t pid = 0;
    std::string command; // at most 15 characters
    uint32_t signal = 0; // that the first thread had got; 0: none
    bool is_by_kernel = false;
    uint64_t random_at = 0;            // AT_RANDOM, which is on the stack of the main thread; 0: not known
    bool notes_are_cut = false;        // or damaged: threads or mappings may be missing
    uint64_t odd_segments = 0;         // left out: they overlap others, or have no possible address
    std::vector<CoreSegment> segments; // by address, without overlap
    std::vector<CoreThread> threads;   // the one that crashed first
    std::vector<CoreMapping> mappings; // by address, without overlap; empty: not known

    // The segment, or the mapped file, that has the address; nullptr: none.
    [[nodiscard]] const CoreSegment* segment_at(uint64_t address) const;
    [[nodiscard]] const CoreMapping* mapping_at(uint64_t address) const;

    // Copies the bytes from `address` on into `to`: how many, up to the first that the core does not have.
    [[nodiscard]] size_t read(uint64_t address, std::span<std::byte> to) const;
};

// Throws UserError when it is no core of an x86-64 process, or has no threads.
[[nodiscard]] CoreFile open_core(const std::filesystem::path& path);

} // namespace leak::analyzer
