// LEB128 and zigzag, as DWARF (section 7.6) and protocol buffers define them.
//
// Writers never check room: the caller guarantees kMaxVarintBytes. Readers are bounded. No allocation, safe in a hook.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace leak::format {

inline constexpr uint32_t kMaxVarintBytes = 10;

// Writes `value` at `at`; returns the position behind it. May write over as many as 4 bytes. The usual case has no
// branch that depends on the length, which a processor can't predict.
inline uint8_t* put_varint(uint8_t* at, uint64_t value) noexcept
{
    if (value < uint64_t{1} << 28) [[likely]] {
        const auto v = static_cast<uint32_t>(value);
        const auto bytes = (static_cast<uint32_t>(std::bit_width(v | 1)) * 9 + 64) / 64; // as many as sevens of bits
        const uint32_t halves = (v & 0x3fff) | (v & 0xfffc000) << 2;                     // of 14 bits, each in 16
        const uint32_t sevens = (halves & 0x7f007f) | (halves & 0x3f803f80) << 1;
        const uint32_t coded = sevens | (0x808080 & ((uint32_t{1} << 8 * (bytes - 1)) - 1));
        std::memcpy(at, &coded, sizeof coded);
        return at + bytes;
    }
    while (value >= 0x80) {
        *at++ = static_cast<uint8_t>(value | 0x80);
        value >>= 7;
    }
    *at++ = static_cast<uint8_t>(value);
    return at;
}

// The same for a value that nearly always is below 128.
inline uint8_t* put_small_varint(uint8_t* at, uint64_t value) noexcept
{
    if (value >= 0x80) [[unlikely]]
        return put_varint(at, value);
    *at = static_cast<uint8_t>(value);
    return at + 1;
}

// The same for a value that nearly always is below 16,384, where the length can't be foretold.
[[gnu::always_inline]] inline uint8_t* put_medium_varint(uint8_t* at, uint64_t value) noexcept
{
    if (value >= 0x4000) [[unlikely]]
        return put_varint(at, value);
    const uint32_t is_long = value >= 0x80;
    const auto coded = static_cast<uint16_t>((value & 0x7f) | is_long << 7 | (value & 0x3f80) << 1);
    std::memcpy(at, &coded, sizeof coded);
    return at + 1 + is_long;
}

// Reads a value from [at, end) and moves `at` behind it; false when it is cut off or longer than 64 bits. The usual
// case, up to 4 bytes, has no branch that depends on the length.
[[nodiscard]] inline bool get_varint(const uint8_t*& at, const uint8_t* end, uint64_t& value) noexcept
{
    if (end - at >= 4) [[likely]] {
        uint32_t coded = 0;
        std::memcpy(&coded, at, sizeof coded);
        if (const uint32_t last = ~coded & 0x80808080; last != 0) [[likely]] {
            const uint32_t upto_last = last ^ (last - 1); // the bits up to the first byte's that has no mark
            const uint32_t sevens = coded & upto_last & 0x7f7f7f7f;
            const uint32_t halves = (sevens & 0x7f007f) | (sevens & 0x7f007f00) >> 1; // of 14 bits, each in 16
            value = (halves & 0x3fff) | (halves & 0x3fff0000) >> 2;
            at += (static_cast<unsigned>(std::countr_zero(last)) + 1) / 8;
            return true;
        }
    }
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 64 && at != end; shift += 7) {
        const uint8_t byte = *at++;
        result |= uint64_t{byte & 0x7fu} << shift;
        if (byte < 0x80) {
            value = result;
            return shift < 63 || byte <= 1;
        }
    }
    return false;
}

[[nodiscard]] constexpr uint64_t zigzag(int64_t value) noexcept
{
    return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}

[[nodiscard]] constexpr int64_t unzigzag(uint64_t value) noexcept
{
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

} // namespace leak::format
