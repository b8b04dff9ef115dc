// Damages a trace on purpose, deterministically, and repairs its checksums now and then so that the damage gets past
// them.
//
// Test code only; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace leak::test {

class Mutator {
public:
    explicit Mutator(uint64_t seed) : random_(seed) {}

    [[nodiscard]] std::vector<std::byte> mutate(const std::vector<std::byte>& original);

private:
    [[nodiscard]] size_t below(size_t bound) { return bound == 0 ? 0 : static_cast<size_t>(random_() % bound); }
    [[nodiscard]] size_t pick_offset(const std::vector<std::byte>& bytes);
    void change_something(std::vector<std::byte>& bytes);

    std::mt19937_64 random_;
};

// Makes every checksum in the file right that covers bytes which are there.
void repair_checksums(std::vector<std::byte>& bytes);

} // namespace leak::test
