// Reads pointers and numbers of call frame information: .eh_frame_hdr, .eh_frame and .debug_frame.
#pragma once

#include <cstdint>
#include <cstring>

namespace leak::preload {

// DW_EH_PE_...: how a pointer is coded (LSB 5.0, 10.5.1).
enum Encoding : uint8_t {
    kAbsolute = 0x00,
    kUleb128 = 0x01,
    kUnsigned2 = 0x02,
    kUnsigned4 = 0x03,
    kUnsigned8 = 0x04,
    kSleb128 = 0x09,
    kSigned2 = 0x0a,
    kSigned4 = 0x0b,
    kSigned8 = 0x0c,
    kFormatMask = 0x0f,
    kPcRelative = 0x10,
    kDataRelative = 0x30,
    kRelationMask = 0x70,
    kIndirect = 0x80,
    kOmitted = 0xff,
};

// A reader that stays put at its end, gives zeros from there on and remembers that it did.
class Reader {
public:
    Reader(const uint8_t* at, const uint8_t* end) noexcept : at_(at), end_(end) {}

    [[nodiscard]] const uint8_t* at() const noexcept { return at_; }
    [[nodiscard]] bool at_end() const noexcept { return at_ >= end_; }
    [[nodiscard]] bool failed() const noexcept { return failed_; }
    void skip(uint64_t bytes) noexcept
    {
        if (has(bytes)) at_ += bytes;
    }

    template <typename T> [[nodiscard]] T fixed() noexcept
    {
        T value{};
        if (has(sizeof value)) {
            std::memcpy(&value, at_, sizeof value);
            at_ += sizeof value;
        }
        return value;
    }
    [[nodiscard]] uint64_t uleb128() noexcept
    {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto byte = fixed<uint8_t>();
            value |= uint64_t{byte & 0x7fu} << shift;
            if (byte < 0x80) break;
        }
        return value;
    }
    [[nodiscard]] int64_t sleb128() noexcept
    {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 64;) {
            const auto byte = fixed<uint8_t>();
            value |= uint64_t{byte & 0x7fu} << shift;
            shift += 7;
            if (byte >= 0x80) continue;
            if ((byte & 0x40) != 0 && shift < 64) value |= ~uint64_t{0} << shift;
            break;
        }
        return static_cast<int64_t>(value);
    }
    // A coded pointer; data: what kDataRelative is relative to.
    [[nodiscard]] uint64_t pointer(uint8_t encoding, uint64_t data) noexcept
    {
        const auto place = reinterpret_cast<uint64_t>(at_);
        uint64_t value = 0;
        switch (encoding & kFormatMask) {
        case kAbsolute:
        case kUnsigned8:
        case kSigned8:
            value = fixed<uint64_t>();
            break;
        case kUleb128:
            value = uleb128();
            break;
        case kSleb128:
            value = static_cast<uint64_t>(sleb128());
            break;
        case kUnsigned2:
            value = fixed<uint16_t>();
            break;
        case kSigned2:
            value = static_cast<uint64_t>(int64_t{fixed<int16_t>()});
            break;
        case kUnsigned4:
            value = fixed<uint32_t>();
            break;
        case kSigned4:
            value = static_cast<uint64_t>(int64_t{fixed<int32_t>()});
            break;
        default:
            failed_ = true;
        }
        const int relation = encoding & kRelationMask;
        if (relation == kPcRelative)
            value += place;
        else if (relation == kDataRelative)
            value += data;
        else if (relation != 0)
            failed_ = true;
        if ((encoding & kIndirect) != 0) failed_ = true; // personality routines alone; their value is never needed
        return value;
    }

private:
    [[nodiscard]] bool has(uint64_t bytes) noexcept
    {
        if (static_cast<uint64_t>(end_ - at_) >= bytes) return true;
        failed_ = true;
        at_ = end_;
        return false;
    }

    const uint8_t* at_;
    const uint8_t* end_;
    bool failed_ = false;
};

} // namespace leak::preload
