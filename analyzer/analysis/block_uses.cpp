#include "analyzer/analysis/block_uses.hpp"

#include <algorithm>
#include <unordered_set>

namespace leak::analyzer {

namespace {

constexpr uint64_t kWord = sizeof(uint64_t);
constexpr uint64_t kHeader = 64;       // a pointer so close behind the start means all that follows
constexpr uint64_t kAlignment = 4096;  // the same, up to here, of one that is aligned to
constexpr uint64_t kLeastAligned = 64; // so much
constexpr uint64_t kMostOwner = 256;   // bytes of an owner with a virtual table
constexpr uint64_t kMostPlainOwner = 64;
constexpr uint64_t kNear = 64; // bytes from a pointer to an owner to the one to a part
constexpr uint64_t kPlainNear = 24;
constexpr uint64_t kObject = 256;         // bytes behind a pointer to the inside that are looked at for further ones
constexpr size_t kMostFollowed = 100'000; // pointers within a block
constexpr uint64_t kPage = format::kSnapshotPageBytes;

// Blocks that hold a pointer to the start of one of `blocks` and are small enough for a mere owner.
[[nodiscard]] std::vector<BlockNumber> possible_owners(const PointerGraph& graph, const PointersInto& pointers,
                                                       const std::vector<BlockNumber>& blocks)
{
    std::vector<BlockNumber> owners;
    for (const BlockNumber block : blocks) {
        for (const uint32_t word : pointers.words(block)) {
            if (graph.words()[word].value != graph.blocks()[block].begin) continue;
            const BlockNumber holder = graph.block_at(graph.words()[word].address);
            if (holder == kNoBlock || graph.blocks()[holder].end - graph.blocks()[holder].begin > kMostOwner) continue;
            owners.push_back(holder);
        }
    }
    std::ranges::sort(owners);
    const auto doubled = std::ranges::unique(owners);
    owners.erase(doubled.begin(), doubled.end());
    return owners;
}

} // namespace

UseFinder::UseFinder(const PointerGraph& graph, const Reachability& reachability,
                     const std::vector<BlockNumber>& blocks)
    : graph_(graph), pointers_(graph, reachability, blocks),
      to_owners_(graph, reachability, possible_owners(graph, pointers_, blocks))
{
}

bool UseFinder::is_whole(uint64_t value, BlockNumber block) const
{
    const uint64_t offset = value - graph_.blocks()[block].begin;
    return offset < kHeader || (offset <= kAlignment && value % kLeastAligned == 0) || graph_.is_to_start(value, block);
}

// There is a word that points to the inside of the block.
bool UseFinder::is_part_at(uint64_t address, BlockNumber block) const
{
    const auto words = graph_.words();
    const auto at = std::ranges::lower_bound(words, address, {}, &format::SnapshotWord::address);
    return at != words.end() && at->address == address &&
           graph_.target(static_cast<uint32_t>(at - words.begin())) == block && !is_whole(at->value, block);
}

// A virtual table, most likely.
bool UseFinder::begins_with_constants(BlockNumber number) const
{
    const GraphBlock& block = graph_.blocks()[number];
    if (block.words_begin == block.words_end || graph_.words()[block.words_begin].address != block.begin) return false;
    const auto* area = graph_.memory().image.area_at(graph_.words()[block.words_begin].value);
    return area != nullptr && area->kind == format::AreaKind::read_only;
}

// word: of a pointer to the start of the block.
bool UseFinder::is_owner(uint32_t word, BlockNumber block) const
{
    const uint64_t address = graph_.words()[word].address;
    if (begins_with_constants(block) && is_part_at(address - kWord, block)) return true;
    const BlockNumber holder = graph_.block_at(address);
    if (holder == kNoBlock) return false;
    const GraphBlock& owner = graph_.blocks()[holder];
    const bool is_plain = !begins_with_constants(holder);
    if (owner.end - owner.begin > (is_plain ? kMostPlainOwner : kMostOwner)) return false;
    const std::span<const uint32_t> users = to_owners_.words(holder);
    if (users.empty() || !to_owners_.registers(holder).empty()) return false;
    const uint64_t reach = is_plain ? kPlainNear : kNear;
    return std::ranges::all_of(users, [&](uint32_t user) {
        const uint64_t at = graph_.words()[user].address;
        for (uint64_t distance = kWord; distance <= reach; distance += kWord)
            if (is_part_at(at - distance, block) || is_part_at(at + distance, block)) return true;
        return false;
    });
}

// values: some pointers to the inside. What lies there may point further, as the elements of a list in an arena do.
OffsetRange UseFinder::window_of(std::vector<uint64_t> values, BlockNumber number) const
{
    const GraphBlock& block = graph_.blocks()[number];
    const auto words = graph_.words().subspan(block.words_begin, block.words_end - block.words_begin);
    std::unordered_set<uint64_t> seen(values.begin(), values.end());
    for (size_t next = 0; next < values.size(); ++next) {
        auto at = std::ranges::lower_bound(words, values[next], {}, &format::SnapshotWord::address);
        for (; at != words.end() && at->address < values[next] + kObject; ++at) {
            const bool is_within = at->value >= block.begin && at->value < block.end;
            if (is_within && seen.insert(at->value).second) values.push_back(at->value);
        }
        if (values.size() > kMostFollowed) return OffsetRange{0, block.end - block.begin};
    }
    const auto [lowest, highest] = std::ranges::minmax(values);
    const uint64_t page_end = std::min((highest / kPage + 1) * kPage, block.end);
    return OffsetRange{lowest - block.begin, page_end - block.begin};
}

BlockUses UseFinder::uses(BlockNumber number) const
{
    const GraphBlock& block = graph_.blocks()[number];
    BlockUses uses;
    std::vector<uint64_t> inside;
    uint64_t lowest = UINT64_MAX, highest = 0;
    const auto add_inside = [&](uint64_t value) {
        lowest = std::min(lowest, value);
        highest = std::max(highest, value);
        if (inside.size() < kMostFollowed) inside.push_back(value);
    };
    const auto add = [&](uint64_t value, auto is_mere_owner) {
        uses.furthest = std::max(uses.furthest, value - block.begin);
        if (!is_whole(value, number)) {
            ++uses.pointers_inside;
            add_inside(value);
            return;
        }
        ++uses.pointers_to_start;
        if (value == block.begin && is_mere_owner())
            ++uses.owners;
        else
            uses.is_used_as_whole = true;
    };
    const std::span<const uint32_t> words = pointers_.words(number);
    for (const uint32_t word : words) add(graph_.words()[word].value, [&] { return is_owner(word, number); });
    for (const uint64_t value : pointers_.registers(number)) add(value, [] { return false; });
    // Blocks of leak_alloc() in it are used, whoever points to them.
    for (BlockNumber inner = number + 1; block.has_inner && inner < graph_.blocks().size(); ++inner) {
        if (graph_.blocks()[inner].begin >= block.end) break;
        add_inside(graph_.blocks()[inner].begin);
        add_inside(graph_.blocks()[inner].end - 1);
    }
    if (uses.is_used_as_whole || inside.size() == kMostFollowed) inside = {lowest, highest}; // no need to follow them
    if (lowest <= highest) uses.window = window_of(std::move(inside), number);
    uses.contents = contents_of(graph_, number, words);
    return uses;
}

std::vector<uint32_t> UseFinder::referrers(BlockNumber block, size_t most) const
{
    std::vector<uint32_t> inside, whole, owners;
    for (const uint32_t word : pointers_.words(block)) {
        const bool is_start = is_whole(graph_.words()[word].value, block);
        std::vector<uint32_t>& list = !is_start ? inside : is_owner(word, block) ? owners : whole;
        if (list.size() < most) list.push_back(word);
        if (inside.size() == most) break;
    }
    for (const std::vector<uint32_t>* list : {&whole, &owners})
        for (const uint32_t word : *list)
            if (inside.size() < most) inside.push_back(word);
    return inside;
}

} // namespace leak::analyzer
