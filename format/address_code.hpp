// The addresses of a buffer's events, in few bytes.
//
// Programs release what they allocated not long ago, and allocators give out first what was released last. So an
// address that an earlier event of the buffer had is coded as the number of events back to it, any other as its
// distance from the previous event's address. The encoder finds the earlier event in a small table that forgets; the
// reader has all addresses of the buffer. Against distances alone this saves 0.8 to 1.8 bytes an allocation.
#pragma once

#include "format/event_rows.hpp"
#include "format/layout.hpp"
#include "format/varint.hpp"

#include <cstdint>
#include <cstring>
#include <vector>

namespace leak::format {

// A code is a varint: bit 0 set: the address is that of the event (code >> 1) events before. Else code >> 2 is the
// zigzag distance in units of 16, since blocks are 16-byte aligned as a rule; bit 1 says that a byte with its low 4
// bits follows. In traces of version 1 there is no bit 0: code >> 1 is the distance, bit 0 announces the low bits.
inline constexpr uint32_t kMaxAddressBytes = kMaxVarintBytes + 1;

class AddressEncoder {
public:
    // A new buffer: nothing is known.
    void begin() noexcept
    {
        previous_ = 0;
        std::memset(places_, 0xff, sizeof places_); // no address that is looked for
    }

    // Writes the address of the buffer's event `index` (from 0) at `at`; returns the position behind it.
    uint8_t* put(uint8_t* at, uint64_t address, uint32_t index) noexcept
    {
        const uint64_t low = (address - previous_) & 15;
        uint64_t code = distance_code(address, previous_) | (low != 0 ? 2 : 0);
        if (address >> kRowAddressBits == 0) code = code_of(address, code, index);
        previous_ = address;
        at = put_varint(at, code);
        if (low != 0 && (code & 1) == 0) *at++ = static_cast<uint8_t>(low);
        return at;
    }

    // -- the same in pieces, for a loop over addresses below 2^kRowAddressBits that are multiples of 16 --
    [[nodiscard]] uint64_t previous() const noexcept { return previous_; }
    void set_previous(uint64_t address) noexcept { previous_ = address; }
    [[nodiscard]] static uint64_t distance_code(uint64_t address, uint64_t previous) noexcept
    {
        return zigzag(static_cast<int64_t>(address - previous) >> 4) << 2;
    }
    // The code of a reference to the last event that had the address, else `otherwise`; this event has it now.
    [[nodiscard, gnu::always_inline]] uint64_t code_of(uint64_t address, uint64_t otherwise, uint32_t index) noexcept
    {
        uint64_t& place = places_[(address >> 4) * 0x9e3779b97f4a7c15u >> (64 - kPlacesLog2)];
        const uint64_t known = place;
        place = address << kIndexBits | index;
        const uint64_t reference = (index - (known & kMaxIndex)) << 1 | 1;
        // No branch: nobody can foretell it.
        const uint64_t if_known = uint64_t{0} - static_cast<uint64_t>(known >> kIndexBits == address);
        return otherwise ^ ((otherwise ^ reference) & if_known);
    }

private:
    // A place holds an address and the index of the event that had it last.
    static constexpr unsigned kPlacesLog2 = 10;
    static constexpr unsigned kIndexBits = 16;
    static constexpr uint64_t kMaxIndex = (1u << kIndexBits) - 1;
    static_assert(kRowAddressBits + kIndexBits <= 64);
    static_assert(kMaxRawBufferBytes / kMinRowBytes <= kMaxIndex);

    uint64_t previous_ = 0;
    uint64_t places_[1u << kPlacesLog2];
};

// Words: a growing array of uint64_t.
template <typename Words = std::vector<uint64_t>> class AddressDecoder {
public:
    // version_major: of the trace.
    AddressDecoder(uint16_t version_major, uint32_t event_count) : refers_back_(version_major >= 2)
    {
        if (refers_back_) seen_.reserve(event_count);
    }

    // Reads the next event's address from [at, end) and moves `at` behind it; false when that is damaged.
    [[nodiscard]] bool get(const uint8_t*& at, const uint8_t* end, uint64_t& address)
    {
        uint64_t code = 0;
        if (!get_varint(at, end, code)) return false;
        if (refers_back_ && (code & 1) != 0) {
            const uint64_t age = code >> 1;
            if (age == 0 || age > seen_.size()) return false;
            previous_ = seen_[seen_.size() - age];
        } else {
            if (refers_back_) code >>= 1;
            uint64_t low = 0;
            if ((code & 1) != 0) {
                if (at == end) return false;
                low = *at++;
            }
            previous_ += static_cast<uint64_t>(unzigzag(code >> 1)) << 4 | low;
        }
        address = previous_;
        if (refers_back_) seen_.push_back(address);
        return true;
    }

private:
    bool refers_back_;
    uint64_t previous_ = 0;
    Words seen_; // addresses of the events so far
};

} // namespace leak::format
