// Snapshots: where the pointers of the process lie at one moment, and which pages of its memory are in use.
//
// A stream of numbers whose order is FORMAT.md's, section 10. SnapshotEncoder writes it, in a copy of the host;
// SnapshotDecoder reads it.
#pragma once

#include "format/number_stream.hpp"

#include <cstdint>

namespace leak::format {

// What a stretch of memory is. Numbers are those of the file.
enum class AreaKind : uint8_t {
    anonymous = 1,    // of no file: heaps, mmap, thread-local storage
    module_data = 2,  // writable data of a module, and other private writable mappings of files
    stack = 3,        // of a thread, from its stack pointer to its end, with what glibc keeps of the thread there
    unused_stack = 4, // below the stack pointer: no words of it are kept
    read_only = 5,    // data of a module that can't be written, such as virtual tables: no words of it are kept
};
inline constexpr uint64_t kAreaKindCount = 6;

// Whether words of it are kept.
[[nodiscard]] constexpr bool has_words(AreaKind kind) noexcept
{
    return kind == AreaKind::anonymous || kind == AreaKind::module_data || kind == AreaKind::stack;
}
// What a word must point to in order to be kept.
[[nodiscard]] constexpr bool is_target(AreaKind kind) noexcept
{
    return kind == AreaKind::anonymous || kind == AreaKind::read_only;
}

struct SnapshotArea {
    uint64_t address = 0; // multiple of 8
    uint64_t bytes = 0;   // multiple of 8
    AreaKind kind = AreaKind::anonymous;
    uint32_t owner = 0; // module index (kNoModule: not known), of stacks the tid
};

// A word that may be a pointer: its value lies in an area of the kind anonymous or read_only.
struct SnapshotWord {
    uint64_t address = 0; // of the word; multiple of 8
    uint64_t value = 0;
};

// Pages of kSnapshotPageBytes behind one another.
inline constexpr uint64_t kSnapshotPageBytes = 4096;
struct PageRun {
    uint64_t page = 0; // address / kSnapshotPageBytes
    uint64_t pages = 0;
};

// What made the process take one.
enum class SnapshotReason : uint32_t { none, exit, fast_exit, exec, mark, request, interval };

// How many numbers there are: a reader takes what it knows and skips the rest.
enum class SnapshotFigure : uint32_t {
    reason,                    // SnapshotReason
    pause_ns,                  // that the thread which forked was held up
    scan_ns,                   // of the copy, from the fork to the end
    scanned_bytes,             // of areas whose words were looked at, or known to be free
    skipped_bytes,             // of areas that could not be read
    threads,                   // of the host
    threads_without_stack,     // of them, whose stack pointer is not known: their stacks are roots as a whole
    threads_without_registers, // of them
    count,
};
inline constexpr uint32_t kSnapshotFigures = static_cast<uint32_t>(SnapshotFigure::count);

// Adds what a snapshot alone has.
template <typename Sink> class SnapshotEncoder : public NumberEncoder<Sink> {
public:
    using NumberEncoder<Sink>::NumberEncoder;

    // The areas in turn, by address; end: of the one before, or 0.
    void put_area(const SnapshotArea& area, uint64_t end) noexcept
    {
        this->put_all(area.address - end, area.bytes, static_cast<uint64_t>(area.kind), area.owner);
    }
    // The words of an area in turn.
    void begin_words(const SnapshotArea& area) noexcept { next_ = area.address; }
    void put_word(const SnapshotWord& word) noexcept
    {
        this->put((word.address - next_) / sizeof(uint64_t) + 1);
        const uint64_t distance = word.value - value_;
        this->put(distance % sizeof(uint64_t) == 0 ? zigzag(static_cast<int64_t>(distance) / 8) << 1
                                                   : zigzag(static_cast<int64_t>(distance)) << 1 | 1);
        next_ = word.address + sizeof(uint64_t);
        value_ = word.value;
    }
    void end_words() noexcept { this->put(0); }

private:
    uint64_t next_ = 0;  // the address behind the last word
    uint64_t value_ = 0; // the last one
};

template <typename Sink> SnapshotEncoder(std::span<std::byte>, Sink&) -> SnapshotEncoder<Sink>;

class SnapshotDecoder : public NumberDecoder {
public:
    using NumberDecoder::NumberDecoder;

    // end: of the area before, or 0. Refuses what is out of order.
    [[nodiscard]] SnapshotArea get_area(uint64_t end) noexcept
    {
        SnapshotArea area;
        const uint64_t gap = get();
        area.address = end + gap;
        area.bytes = get();
        const uint64_t kind = get();
        area.kind = static_cast<AreaKind>(kind);
        area.owner = get32();
        const bool wraps = area.address < gap || area.address + area.bytes < area.address;
        if (wraps || area.address % sizeof(uint64_t) != 0 || area.bytes % sizeof(uint64_t) != 0 || kind == 0 ||
            kind >= kAreaKindCount)
            refuse();
        return area;
    }
    void begin_words(const SnapshotArea& area) noexcept
    {
        next_ = area.address;
        end_ = area.address + area.bytes;
    }
    // False: that was the last.
    [[nodiscard]] bool get_word(SnapshotWord& word) noexcept
    {
        const uint64_t step = get();
        if (step == 0) return false;
        if (step > (end_ - next_) / sizeof(uint64_t)) refuse();
        word.address = next_ + (step - 1) * sizeof(uint64_t);
        const uint64_t code = get();
        const auto distance = static_cast<uint64_t>(unzigzag(code >> 1));
        value_ += (code & 1) != 0 ? distance : distance * sizeof(uint64_t);
        word.value = value_;
        next_ = word.address + sizeof(uint64_t);
        return is_sound();
    }

private:
    uint64_t next_ = 0;
    uint64_t end_ = 0;
    uint64_t value_ = 0;
};

} // namespace leak::format
