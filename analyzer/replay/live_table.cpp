#include "analyzer/replay/live_table.hpp"

#include <bit>
#include <utility>

namespace leak::analyzer {

namespace {

constexpr size_t kFirstPlaces = 1024;

[[nodiscard]] unsigned shift_for(size_t places)
{
    return 64u - static_cast<unsigned>(std::countr_zero(places));
}

} // namespace

LiveTable::LiveTable() : places_(kFirstPlaces), hash_shift_(shift_for(kFirstPlaces))
{
}

size_t LiveTable::home_of(uint64_t address) const
{
    // Fibonacci hashing: the top bits of the product are spread well even for addresses at equal distances.
    return static_cast<size_t>((address >> 4) * 0x9e3779b97f4a7c15u >> hash_shift_);
}

size_t LiveTable::place_of(uint64_t address) const
{
    size_t place = home_of(address);
    while (is_used(places_[place]) && places_[place].address != address) place = next(place);
    return place;
}

const LiveBlock* LiveTable::find(uint64_t address) const
{
    const LiveBlock& block = places_[place_of(address)];
    return is_used(block) ? &block : nullptr;
}

std::optional<LiveBlock> LiveTable::put(const LiveBlock& block)
{
    if (size_ + 1 > places_.size() / 8 * 5) grow();
    LiveBlock& place = places_[place_of(block.address)];
    if (is_used(place)) return std::exchange(place, block);
    place = block;
    ++size_;
    return std::nullopt;
}

std::optional<LiveBlock> LiveTable::take(uint64_t address)
{
    const size_t place = place_of(address);
    if (!is_used(places_[place])) return std::nullopt;
    const LiveBlock taken = places_[place];
    close_hole(place);
    --size_;
    return taken;
}

// Knuth, The Art of Computer Programming 3, 6.4, algorithm R: moves back what probed past the hole.
void LiveTable::close_hole(size_t hole)
{
    for (size_t place = next(hole); is_used(places_[place]); place = next(place)) {
        const size_t home = home_of(places_[place].address);
        const size_t from_home = (place - home) & (places_.size() - 1);
        const size_t from_hole = (place - hole) & (places_.size() - 1);
        if (from_home < from_hole) continue;
        places_[hole] = places_[place];
        hole = place;
    }
    places_[hole] = {};
}

void LiveTable::grow()
{
    std::vector<LiveBlock> old(places_.size() * 2);
    old.swap(places_);
    hash_shift_ = shift_for(places_.size());
    for (const LiveBlock& block : old)
        if (is_used(block)) places_[place_of(block.address)] = block;
}

} // namespace leak::analyzer
