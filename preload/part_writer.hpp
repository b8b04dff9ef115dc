// Writes the parts of a stream of numbers (a carried state, a snapshot) into slots of their own.
//
// One thread: the one that folds, or the copy of the process that takes a snapshot.
#pragma once

#include "format/chunk.hpp"
#include "preload/mapped_array.hpp"
#include "preload/trace_file.hpp"

namespace leak::preload {

// Where slots come from and go to; `context` is handed to both.
struct SlotGiver {
    Slot (*give)(void* context) noexcept; // none: no room
    void (*close)(void* context, const Slot& slot) noexcept;
    void* context;
};

class PartWriter {
public:
    // number: of the state or snapshot; most_slots: that it may take.
    PartWriter(format::FrameKind kind, uint64_t number, uint32_t most_slots, const SlotGiver& slots) noexcept
        : kind_(kind), number_(number), most_slots_(most_slots), giver_(slots)
    {
    }
    ~PartWriter() { close(); }
    PartWriter(const PartWriter&) = delete;
    PartWriter& operator=(const PartWriter&) = delete;

    // zstd_level: 1..19. False: no memory.
    [[nodiscard]] bool begin(int zstd_level) noexcept;
    [[nodiscard]] std::span<std::byte> buffer() noexcept { return {plain_.begin(), plain_.size()}; }

    // NumberEncoder's sink.
    void part(std::span<const std::byte> plain) noexcept;

    [[nodiscard]] bool is_sound() const noexcept { return is_sound_; }
    [[nodiscard]] uint32_t parts() const noexcept { return parts_; }
    [[nodiscard]] uint32_t slots() const noexcept { return slots_; }
    [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; } // in them

private:
    [[nodiscard]] bool make_room(uint64_t bytes) noexcept;
    void close() noexcept;

    format::FrameKind kind_;
    uint64_t number_;
    uint32_t most_slots_;
    SlotGiver giver_;
    bool is_sound_ = true;
    uint32_t parts_ = 0;
    uint32_t slots_ = 0;
    Slot slot_;
    uint64_t used_ = 0;
    uint64_t bytes_ = 0;
    MappedArray<std::byte> plain_;
    MappedArray<std::byte> memory_;
    format::PartCompressor compressor_;
};

} // namespace leak::preload
