// Sampling by bytes: of all allocations those are recorded in which a Poisson process with one point every `period`
// bytes has a point. A block of b bytes is recorded with the probability 1 - exp(-b / period), so it stands for the
// inverse of that many blocks, and sums of such weights are unbiased (Horvitz and Thompson, 1952). tcmalloc and Go
// sample like this.
//
// Pure functions without the C library's mathematics: libleak.so has none.
#pragma once

#include "format/stack_accounts.hpp"

#include <bit>
#include <cstdint>

namespace leak::format {

// In a sampled trace numbers of blocks are counted in fractions of this, so that sums are not rounded.
inline constexpr uint64_t kBlockFractions = 1024;

// -ln(x) for x in (0, 1], to 1e-9.
[[nodiscard]] constexpr double minus_log(double x) noexcept
{
    // x = m * 2^e with m in [1, 2); ln m by the series of artanh.
    const auto bits = std::bit_cast<uint64_t>(x);
    const auto exponent = static_cast<int>(bits >> 52) - 1023;
    const double mantissa = std::bit_cast<double>((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
    const double t = (mantissa - 1) / (mantissa + 1);
    double sum = 0;
    double power = t;
    for (int n = 1; n < 24; n += 2, power *= t * t) sum += power / n;
    return -(2 * sum + exponent * 0.69314718055994530942);
}

// 1 - exp(-x) for x >= 0, to 1e-9 of itself.
[[nodiscard]] constexpr double one_minus_exp(double x) noexcept
{
    if (x > 40) return 1;
    if (x > 0.5) {
        const double half = one_minus_exp(x / 2);
        return half * (2 - half);
    }
    double term = x;
    double sum = 0;
    for (int n = 2; n < 14; ++n) {
        sum += term;
        term *= -x / n;
    }
    return sum;
}

// What a recorded block stands for: blocks in 1/kBlockFractions, and bytes. period 0: the trace is not sampled, each
// block is itself, and blocks are counted whole.
[[nodiscard]] constexpr Amount weigh(uint64_t bytes, uint64_t period) noexcept
{
    if (period == 0) return {1, bytes};
    // malloc(0) has to be recorded now and then as well.
    const double size = bytes == 0 ? 1 : static_cast<double>(bytes);
    const double blocks = 1 / one_minus_exp(size / static_cast<double>(period));
    return {static_cast<uint64_t>(blocks * kBlockFractions + 0.5),
            static_cast<uint64_t>(blocks * static_cast<double>(bytes) + 0.5)};
}

// The same of what is never left out: mapped ranges, blocks of leak_alloc().
[[nodiscard]] constexpr Amount unweighed(uint64_t bytes, uint64_t period) noexcept
{
    return {period == 0 ? 1 : kBlockFractions, bytes};
}

// A number of blocks as weigh() counts them, in blocks.
[[nodiscard]] constexpr uint64_t whole_blocks(uint64_t blocks, uint64_t period) noexcept
{
    return period == 0 ? blocks : (blocks + kBlockFractions / 2) / kBlockFractions;
}

} // namespace leak::format
