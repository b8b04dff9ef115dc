// The areas of a process's memory, as a snapshot lists them: from its mappings, without what is libleak.so's own.
//
// In the copy alone, on its one thread. The room for mappings is taken before they are read, so that it changes
// nothing meanwhile.
#pragma once

#include "format/range_set.hpp"
#include "format/snapshot.hpp"
#include "preload/mapped_array.hpp"
#include "preload/snapshot/mailbox.hpp"

#include <cstdint>
#include <string_view>

namespace leak::preload {

// A piece of a mapping.
struct AreaPiece {
    uint64_t begin;
    uint64_t end;
    uint32_t owner; // format::SnapshotArea::owner
    uint8_t kind;   // format::AreaKind; kNoArea: none
    bool is_shared; // anonymous memory that other processes may share
    bool is_file;   // pages that the process has not written are the file's, and hold no pointers of its own

    static constexpr uint8_t kNoArea = 0;
    [[nodiscard]] bool is(format::AreaKind which) const noexcept { return kind == static_cast<uint8_t>(which); }
    [[nodiscard]] bool has_words() const noexcept { return format::has_words(static_cast<format::AreaKind>(kind)); }
    [[nodiscard]] bool is_target() const noexcept { return format::is_target(static_cast<format::AreaKind>(kind)); }
};

class Areas {
public:
    // From /proc/self/maps. False: it can't be read, or there is no memory.
    [[nodiscard]] bool read(const Mailbox& mailbox) noexcept;

    [[nodiscard]] const MappedArray<AreaPiece>& pieces() const noexcept { return pieces_; }
    // What the kernel calls the heap, from the end of the program's data to the program break, as far as it is the
    // host's; empty: there is none.
    [[nodiscard]] format::AddressSpan heap() const noexcept { return heap_; }
    [[nodiscard]] uint32_t threads_without_stack() const noexcept { return threads_without_stack_; }

private:
    struct Mapping {
        uint64_t begin;
        uint64_t end;
        uint8_t kind; // of the area that it is, unless a module's or a stack lies in it; kNoArea: none
        bool is_readable;
        bool is_shared;
        bool is_file;
        bool is_main_stack;
    };

    [[nodiscard]] bool read_mappings() noexcept;
    void take_line(std::string_view line) noexcept;
    [[nodiscard]] const Mapping* mapping_of(uint64_t address) const noexcept;
    void collect_modules() noexcept;
    void collect_stacks(const Mailbox& mailbox) noexcept;
    void add_stack(const HostThread& thread, const Mapping& mapping, uint64_t top, uint64_t least) noexcept;
    void collect_own_memory() noexcept;
    void add_roots() noexcept;
    void find_heap() noexcept;
    void sort_overlays() noexcept;
    template <typename Covers> void lay_over(Covers&& covers) noexcept;

    // What is mapped when the mappings are read stays so: it is among them.
    MappedArray<char> text_;
    MappedArray<Mapping> mappings_;
    MappedArray<AreaPiece> pieces_;
    MappedArray<AreaPiece> overlays_; // what pieces are in truth, where they overlap
    MappedArray<AreaPiece> own_;      // our own memory
    format::AddressSpan heap_;
    uint32_t threads_without_stack_ = 0;
};

} // namespace leak::preload
