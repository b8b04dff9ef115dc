// Streams of varints, cut into parts anywhere: how carried states and snapshots are written.
//
// NumberEncoder writes without allocation, in the host; NumberDecoder reads and trusts nothing.
#pragma once

#include "format/layout.hpp"
#include "format/varint.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace leak::format {

// Puts numbers into `buffer` and calls sink.part(bytes) whenever it holds a part.
template <typename Sink> class NumberEncoder {
public:
    // buffer: at least kMaxPartBytes + 64.
    NumberEncoder(std::span<std::byte> buffer, Sink& sink) noexcept
        : begin_(reinterpret_cast<uint8_t*>(buffer.data())), at_(begin_), sink_(sink)
    {
    }

    void put(uint64_t number) noexcept
    {
        at_ = put_varint(at_, number);
        if (static_cast<size_t>(at_ - begin_) > kMaxPartBytes - 2 * kMaxVarintBytes) flush();
    }
    template <typename... Numbers> void put_all(Numbers... numbers) noexcept { (put(numbers), ...); }

    // After the last number.
    void flush() noexcept
    {
        if (at_ != begin_)
            sink_.part(std::span(reinterpret_cast<std::byte*>(begin_), static_cast<size_t>(at_ - begin_)));
        bytes_ += static_cast<uint64_t>(at_ - begin_);
        at_ = begin_;
    }
    [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }

private:
    uint8_t* begin_;
    uint8_t* at_;
    uint64_t bytes_ = 0;
    Sink& sink_;
};

class NumberDecoder {
public:
    explicit NumberDecoder(std::span<const std::byte> bytes) noexcept
        : at_(reinterpret_cast<const uint8_t*>(bytes.data())), end_(at_ + bytes.size())
    {
    }

    // 0 from the first number on that can't be read; is_sound() tells.
    uint64_t get() noexcept
    {
        uint64_t number = 0;
        if (!is_sound_ || !get_varint(at_, end_, number)) {
            is_sound_ = false;
            return 0;
        }
        return number;
    }
    // A number of items that follow, each of at least one byte.
    uint64_t get_count() noexcept
    {
        const uint64_t count = get();
        if (count <= static_cast<uint64_t>(end_ - at_)) return count;
        is_sound_ = false;
        return 0;
    }
    // A number that must be below 2^32.
    uint32_t get32() noexcept { return narrow(get()); }
    void refuse() noexcept { is_sound_ = false; }

    [[nodiscard]] bool is_sound() const noexcept { return is_sound_; }

protected:
    uint32_t narrow(uint64_t number) noexcept
    {
        if (number > UINT32_MAX) is_sound_ = false;
        return static_cast<uint32_t>(number);
    }

private:
    const uint8_t* at_;
    const uint8_t* end_;
    bool is_sound_ = true;
};

} // namespace leak::format
