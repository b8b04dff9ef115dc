// Walks the frames of one slot (FORMAT.md, sections 1 and 2): every length is checked before it is followed.
//
// One thread; allocates only for what is damaged.
#pragma once

#include "format/layout.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace leak::analyzer {

// A frame of ours inside a slot that was read into memory.
struct FrameView {
    format::FrameHeader header;
    uint64_t offset = 0;              // in the file
    std::span<const std::byte> bytes; // the whole frame, header included, as far as it was read
    std::span<const std::byte> rest;  // what follows it in the slot: a chunk's zstd frame
    bool cut = false;                 // the file ends inside this frame
};

struct FrameSink {
    std::function<void(const FrameView&)> on_frame;
    std::function<void(uint64_t offset, std::string what)> on_damage;
    std::function<void(uint64_t offset)> on_padding{}; // may be empty
};

struct SlotBytes {
    uint64_t offset = 0;              // of the slot in the file
    std::span<const std::byte> bytes; // less than the slot where the file ends
    bool cut = false;                 // the file ends inside the slot
    bool resync = false;              // search for the next frame behind damage; wrong where stale frames may lie
};

// Calls `sink` for every frame that has our tag, in file order; the header of an event chunk that is not cut has a
// right checksum. Returns the bytes of the slot that frames use, padding not counted.
uint64_t walk_frames(const SlotBytes& slot, const FrameSink& sink);

// Copies a structure from the front of `bytes`; false when there are too few.
template <typename T> [[nodiscard]] bool copy_front(std::span<const std::byte> bytes, T& value)
{
    if (bytes.size() < sizeof(T)) return false;
    std::copy_n(bytes.data(), sizeof(T), reinterpret_cast<std::byte*>(&value));
    return true;
}

} // namespace leak::analyzer
