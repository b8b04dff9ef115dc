// A part of a stack that is known to be readable: so that a walk along frames that turn out to be none never faults.
#pragma once

#include "preload/os.hpp"

#include <cstdint>

namespace leak::preload {

class StackRange {
public:
    // Whether the 8 bytes at `address` are aligned and known to be readable.
    [[nodiscard]] bool covers(uint64_t address) const noexcept
    {
        return address - low_ < high_ - low_ && (address & 7) == 0;
    }

    // The same for an address that lies above one that is covered, and is aligned.
    [[nodiscard]] bool reaches(uint64_t address) const noexcept { return address < high_; }

    // Makes the range cover `address`, which is above `inner`, an address on the live stack; all of the stack between
    // the two must be readable. A system call for every page that is new. False: not readable, or too far away.
    [[nodiscard]] bool extend(uint64_t inner, uint64_t address) noexcept
    {
        if (address < inner || address - inner > kMostBytes || (address & 7) != 0) return false;
        if (!covers(inner)) low_ = high_ = 0;
        const uint64_t first = page_of(inner);
        if (low_ == high_) low_ = high_ = first;
        while (high_ <= address) {
            if (!os::can_read(reinterpret_cast<const void*>(high_))) return false;
            high_ += kPageBytes;
        }
        return true;
    }

    // The stack has grown down to `address`: pages that are new join the range when they lie right below it.
    void grow_down(uint64_t address) noexcept
    {
        if (covers(address) || low_ <= address || low_ - address > kMostBytes / 8) return;
        while (low_ > address && os::can_read(reinterpret_cast<const void*>(low_ - kPageBytes))) low_ -= kPageBytes;
    }

private:
    static constexpr uint64_t kMostBytes = uint64_t{4} * 1024 * 1024;

    [[nodiscard]] static uint64_t page_of(uint64_t address) noexcept { return address & ~uint64_t{kPageBytes - 1}; }

    uint64_t low_ = 0; // page boundaries; nothing is covered where they are equal
    uint64_t high_ = 0;
};

} // namespace leak::preload
