// Writes the parts of a carried state into slots of their own.
//
// One thread: the one that folds.
#pragma once

#include "format/chunk.hpp"
#include "preload/fold/mapped_array.hpp"
#include "preload/trace_file.hpp"

namespace leak::preload {

class CarriedWriter {
public:
    // number: of the state; most_slots: that it may take; fd: the trace file, or -1.
    CarriedWriter(uint64_t number, uint32_t most_slots, int fd) noexcept
        : number_(number), most_slots_(most_slots), fd_(fd)
    {
    }
    ~CarriedWriter() { close(); }
    CarriedWriter(const CarriedWriter&) = delete;
    CarriedWriter& operator=(const CarriedWriter&) = delete;

    // False: no memory.
    [[nodiscard]] bool begin() noexcept;
    [[nodiscard]] std::span<std::byte> buffer() noexcept { return {plain_.begin(), plain_.size()}; }

    // CarriedEncoder's sink.
    void part(std::span<const std::byte> plain) noexcept;

    [[nodiscard]] bool is_sound() const noexcept { return is_sound_; }
    [[nodiscard]] uint32_t parts() const noexcept { return parts_; }
    [[nodiscard]] uint32_t slots() const noexcept { return slots_; }
    [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; } // in them

private:
    [[nodiscard]] bool make_room(uint64_t bytes) noexcept;
    void close() noexcept;

    uint64_t number_;
    uint32_t most_slots_;
    int fd_;
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
