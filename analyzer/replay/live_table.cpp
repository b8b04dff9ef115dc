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
    const Place& place = places_[place_of(address)];
    return is_used(place) ? &blocks_[place.block] : nullptr;
}

std::optional<LiveBlock> LiveTable::put(const LiveBlock& block)
{
    if (size_ + 1 > places_.size() / 8 * 5) grow();
    Place& place = places_[place_of(block.address)];
    if (is_used(place)) return std::exchange(blocks_[place.block], block);
    place.address = block.address;
    if (free_.empty()) {
        place.block = static_cast<uint32_t>(blocks_.size());
        blocks_.push_back(block);
    } else {
        place.block = free_.back();
        free_.pop_back();
        blocks_[place.block] = block;
    }
    ++size_;
    return std::nullopt;
}

std::optional<LiveBlock> LiveTable::take(uint64_t address)
{
    const size_t place = place_of(address);
    if (!is_used(places_[place])) return std::nullopt;
    const uint32_t at = places_[place].block;
    const LiveBlock taken = std::exchange(blocks_[at], LiveBlock{});
    free_.push_back(at);
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
    std::vector<Place> old(places_.size() * 2);
    old.swap(places_);
    hash_shift_ = shift_for(places_.size());
    for (const Place& place : old)
        if (is_used(place)) places_[place_of(place.address)] = place;
}

} // namespace leak::analyzer
