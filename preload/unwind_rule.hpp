// How to go from a frame to its caller: what a row of call frame information (DWARF 5, 6.4) says about the registers
// that compiled code needs for it, rsp and rbp, in 32 bits.
//
// Nearly every return address has such a rule. Where the row says more (another register, an expression, a signal
// frame), the rule is `none` and libunwind takes the whole stack.
#pragma once

#include <cstdint>

namespace leak::preload {

class UnwindRule {
public:
    enum class Kind : uint32_t {
        none,      // can't be said here
        from_rsp,  // CFA = rsp + n
        from_rbp,  // CFA = rbp + n
        realigned, // CFA = *(rbp - n), the caller's rbp lies at rbp: a function that realigned its stack (GCC's DRAP)
        outermost, // no caller: the return address is undefined
    };

    // Kind::none where it is value-initialised; left alone where it is a part of an array that nobody has touched.
    UnwindRule() noexcept = default;

    // cfa_offset: n above. rbp_below_cfa: the caller's rbp lies so many bytes below the CFA; 0: it is still in rbp.
    // Kind::none where the numbers don't fit: multiples of 8, cfa_offset < 512 KiB, rbp_below_cfa < 64 KiB; and where a
    // frame that begins at rsp is none: the return address and rbp are not in it.
    [[nodiscard]] static constexpr UnwindRule make(Kind kind, uint64_t cfa_offset, uint64_t rbp_below_cfa) noexcept
    {
        if (cfa_offset % 8 != 0 || rbp_below_cfa % 8 != 0) return {};
        if (kind == Kind::from_rsp && (cfa_offset < 8 || rbp_below_cfa > cfa_offset)) return {};
        if (cfa_offset >> 3 > kMaxCfaWords || rbp_below_cfa >> 3 > kMaxRbpWords) return {};
        UnwindRule rule{};
        rule.bits_ = static_cast<uint32_t>(kind) | static_cast<uint32_t>(cfa_offset >> 3) << kCfaShift |
                     static_cast<uint32_t>(rbp_below_cfa >> 3) << kRbpShift;
        return rule;
    }

    [[nodiscard]] constexpr Kind kind() const noexcept { return static_cast<Kind>(bits_ & kKindMask); }
    [[nodiscard]] constexpr uint64_t cfa_offset() const noexcept { return uint64_t{bits_ & kMaxCfaWords << kCfaShift}; }
    [[nodiscard]] constexpr uint64_t rbp_below_cfa() const noexcept { return uint64_t{bits_ >> kRbpShift} << 3; }

    // Whether the frame's own rbp is used to find its caller.
    [[nodiscard]] constexpr bool consumes_rbp() const noexcept
    {
        return kind() == Kind::from_rbp || kind() == Kind::realigned;
    }
    // Whether the caller's rbp is read from memory.
    [[nodiscard]] constexpr bool restores_rbp() const noexcept
    {
        return bits_ >> kRbpShift != 0 || kind() == Kind::realigned;
    }

private:
    static constexpr uint32_t kKindMask = 7;
    static constexpr uint32_t kCfaShift = 3; // words of 8: the field in its place is the number of bytes
    static constexpr uint32_t kMaxCfaWords = 0xffff;
    static constexpr uint32_t kRbpShift = 19;
    static constexpr uint32_t kMaxRbpWords = 0x1fff;

    uint32_t bits_;
};
static_assert(sizeof(UnwindRule) == 4);

} // namespace leak::preload
