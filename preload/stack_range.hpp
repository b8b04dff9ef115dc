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

    // The same for all from `address`, which is aligned, up to the one at `last`.
    [[nodiscard]] bool covers(uint64_t address, uint64_t last) const noexcept
    {
        return address >= low_ && last < high_;
    }

    // The same for an address that lies above one that is covered, and is aligned.
    [[nodiscard]] bool reaches(uint64_t address) const noexcept { return address < high_; }

    // Makes the range cover `inner`, an address on the live stack, and `address`, which lies at or above it. What is
    // known is kept where it joins on. A system call for every page that is new. False: not readable, or too far away.
    [[nodiscard]] bool extend(uint64_t inner, uint64_t address) noexcept
    {
        if (address < inner || address - inner > kMostBytes || (address & 7) != 0) return false;
        if (!joins(inner)) low_ = high_ = page_of(inner);
        return grow_up(address);
    }

private:
    static constexpr uint64_t kMostBytes = uint64_t{4} * 1024 * 1024;

    [[nodiscard]] static uint64_t page_of(uint64_t address) noexcept { return address & ~uint64_t{kPageBytes - 1}; }

    // Whether the range reaches, or can be made to reach, to `inner`.
    [[nodiscard]] bool joins(uint64_t inner) noexcept
    {
        if (low_ == high_) return false;
        if (inner >= high_) return inner - high_ < kMostBytes && grow_up(inner);
        if (inner < low_ && low_ - inner > kMostBytes) return false;
        while (inner < low_) {
            if (!os::can_read(reinterpret_cast<const void*>(low_ - kPageBytes))) return false;
            low_ -= kPageBytes;
        }
        return true;
    }
    [[nodiscard]] bool grow_up(uint64_t address) noexcept
    {
        while (high_ <= address) {
            if (!os::can_read(reinterpret_cast<const void*>(high_))) return false;
            high_ += kPageBytes;
        }
        return true;
    }

    uint64_t low_ = 0; // page boundaries; nothing is covered where they are equal
    uint64_t high_ = 0;
};

} // namespace leak::preload
