#include "analyzer/report/site.hpp"

#include "analyzer/report/frame_kind.hpp"
#include "analyzer/report/site_key.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

namespace leak::analyzer {
namespace {

// First step: by what the trace says, without a name looked up. Millions of blocks become some thousands of these.
struct RawKey {
    StackId stack;
    uint32_t thread;
    uint64_t size;
    friend bool operator==(const RawKey&, const RawKey&) = default;
};

struct RawKeyHash {
    size_t operator()(const RawKey& key) const noexcept
    {
        const uint64_t both = uint64_t{key.stack.value} << 32 | key.thread;
        return std::hash<uint64_t>{}((both * 0x9E3779B97F4A7C15ULL) ^ key.size);
    }
};

using RawSites = std::unordered_map<RawKey, Site, RawKeyHash>;

template <typename T> void insert_sorted(std::vector<T>& values, const T& value)
{
    const auto at = std::ranges::lower_bound(values, value);
    if (at == values.end() || *at != value) {
        values.insert(at, value);
    }
}

void add(Site& into, const Site& other)
{
    into.first_ns = into.blocks == 0 ? other.first_ns : std::min(into.first_ns, other.first_ns);
    into.last_ns = into.blocks == 0 ? other.last_ns : std::max(into.last_ns, other.last_ns);
    into.blocks += other.blocks;
    into.bytes += other.bytes;
    into.samples += other.samples;
    for (size_t i = 0; i < kBlockClassCount; ++i) {
        into.class_blocks[i] += other.class_blocks[i];
        into.class_bytes[i] += other.class_bytes[i];
    }
    into.below_blocks += other.below_blocks;
    into.below_bytes += other.below_bytes;
    into.truncated = into.truncated || other.truncated;
    for (const auto kind : other.kinds) {
        insert_sorted(into.kinds, kind);
    }
    for (const auto tid : other.tids) {
        insert_sorted(into.tids, tid);
    }
}

RawSites collect(const std::vector<LiveBlock>& blocks, std::span<const BlockFact> facts, const ReplayResult& trace,
                 GroupBy by, uint64_t& truncated)
{
    RawSites sites;
    for (size_t i = 0; i < blocks.size(); ++i) {
        const LiveBlock& block = blocks[i];
        const BlockFact fact = facts.empty() ? BlockFact{} : facts[i];
        const auto block_class = static_cast<size_t>(fact.block_class);
        const RawKey key{block.stack, by == GroupBy::thread ? block.thread.value : 0,
                         by == GroupBy::size ? block.bytes / block.blocks : 0};
        const format::Amount amount = amount_of(block, trace.info.sample_bytes);
        Site one{.label = {},
                 .blocks = amount.blocks,
                 .bytes = amount.bytes,
                 .samples = 1,
                 .first_ns = block.allocated_ns,
                 .last_ns = block.allocated_ns,
                 .below_blocks = fact.below_blocks,
                 .below_bytes = fact.below_bytes,
                 .kinds = {block.kind},
                 .tids = {},
                 .truncated = block.truncated_stack};
        one.class_blocks[block_class] = amount.blocks;
        one.class_bytes[block_class] = amount.bytes;
        if (const Thread* thread = find_thread(trace.threads, block.thread)) one.tids.push_back(thread->tid);
        truncated += block.truncated_stack ? 1 : 0;
        add(sites[key], one);
    }
    return sites;
}

// Reduces `frames` to what the group has in common and gives the group's name; the result is the key.
std::string reduce(const SiteOptions& options, const RawKey& raw, const ReplayResult& trace, std::vector<Frame>& frames,
                   std::string& label)
{
    if (options.by == GroupBy::thread) {
        const Thread* thread = find_thread(trace.threads, ThreadId{raw.thread});
        label = thread == nullptr ? "unknown thread" : thread->name + " (tid " + std::to_string(thread->tid) + ")";
        frames.clear();
        return std::to_string(raw.thread);
    }
    if (options.by == GroupBy::size) {
        label = std::to_string(raw.size) + " bytes each";
        frames.clear();
        return std::to_string(raw.size);
    }
    if (frames.empty()) {
        return {};
    }
    if (options.by == GroupBy::stack) {
        frames.resize(options.depth == 0 ? frames.size() : std::min(frames.size(), options.depth));
    } else {
        Frame frame = deciding_frame(frames, trace.info.exe);
        frame.line = 0;
        frame.inlined = false;
        frame.offset = frame.function.empty() && options.by == GroupBy::function ? frame.offset : 0;
        if (options.by == GroupBy::module) {
            frame = {.module = frame.module};
        }
        label = options.by == GroupBy::module ? frame.module : frame.function;
        frames = {frame};
    }
    return site_key(frames);
}

// What can't be reached first, what can last; where nothing is known, in between.
size_t class_rank(const Site& site)
{
    constexpr BlockClass ranks[] = {BlockClass::unreachable, BlockClass::indirect, BlockClass::interior_only,
                                    BlockClass::unknown, BlockClass::reachable};
    return static_cast<size_t>(
        std::ranges::find_if(ranks, [&](BlockClass one) { return site.class_blocks[static_cast<size_t>(one)] > 0; }) -
        std::begin(ranks));
}

// With what is lost with it.
uint64_t unreachable_bytes(const Site& site)
{
    return site.class_bytes[static_cast<size_t>(BlockClass::unreachable)] + site.below_bytes;
}

void sort_sites(std::vector<Site>& sites, SortBy by)
{
    // Each order ends in all the others, so that the same trace always gives the same report.
    std::ranges::stable_sort(sites, [&](const Site& left, const Site& right) {
        const auto bytes = std::tuple(~left.bytes, ~left.blocks, left.first_ns);
        const auto other_bytes = std::tuple(~right.bytes, ~right.blocks, right.first_ns);
        if (by == SortBy::blocks && left.blocks != right.blocks) {
            return left.blocks > right.blocks;
        }
        if (by == SortBy::age && left.first_ns != right.first_ns) {
            return left.first_ns < right.first_ns;
        }
        if (by == SortBy::bytes && class_rank(left) != class_rank(right)) {
            return class_rank(left) < class_rank(right);
        }
        if (by == SortBy::bytes && unreachable_bytes(left) != unreachable_bytes(right)) {
            return unreachable_bytes(left) > unreachable_bytes(right);
        }
        return bytes < other_bytes;
    });
}

} // namespace

Grouping group_blocks(const std::vector<LiveBlock>& blocks, std::span<const BlockFact> facts, const ReplayResult& trace,
                      Symbolizer& symbolizer, Suppressions* suppressions, const SiteOptions& options)
{
    Grouping grouping;
    const uint64_t sample_bytes = trace.info.sample_bytes;
    const RawSites raw_sites = collect(blocks, facts, trace, options.by, grouping.truncated_blocks);
    std::unordered_map<StackId, std::vector<Frame>> stacks;
    for (const auto& [key, site] : raw_sites) {
        const auto [stack, added] = stacks.try_emplace(key.stack);
        if (added) {
            stack->second = symbolizer.symbolize(trace.stacks.frames(key.stack));
        }
        if (suppressions != nullptr) {
            suppressions->look_at(stack->second, format::whole_blocks(site.blocks, sample_bytes));
        }
    }
    std::map<std::string, Site> by_key; // ordered, so that ties come out the same every time
    for (const auto& [raw, site] : raw_sites) {
        std::vector<Frame> frames = stacks[raw.stack];
        const uint64_t whole = format::whole_blocks(site.blocks, sample_bytes);
        if (suppressions != nullptr && suppressions->hides(frames, whole, site.bytes)) {
            continue;
        }
        std::string label;
        Site& into = by_key[reduce(options, raw, trace, frames, label)];
        if (into.blocks == 0) {
            into.label = std::move(label);
            into.frames = std::move(frames);
        }
        add(into, site);
        grouping.blocks += site.blocks;
        grouping.bytes += site.bytes;
        for (size_t i = 0; i < kBlockClassCount; ++i) {
            grouping.class_blocks[i] += site.class_blocks[i];
            grouping.class_bytes[i] += site.class_bytes[i];
        }
    }
    grouping.blocks = format::whole_blocks(grouping.blocks, sample_bytes);
    for (uint64_t& count : grouping.class_blocks) count = format::whole_blocks(count, sample_bytes);
    for (auto& [key, site] : by_key) {
        site.blocks = format::whole_blocks(site.blocks, sample_bytes);
        for (uint64_t& count : site.class_blocks) count = format::whole_blocks(count, sample_bytes);
        if (site.bytes < options.min_bytes) {
            ++grouping.small_sites;
            grouping.small_bytes += site.bytes;
        } else {
            grouping.sites.push_back(std::move(site));
        }
    }
    sort_sites(grouping.sites, options.sort);
    return grouping;
}

} // namespace leak::analyzer
