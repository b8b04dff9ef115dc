#include "analyzer/report/retention.hpp"

#include "analyzer/report/retained_blocks.hpp"
#include "analyzer/report/site_key.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string_view>

namespace leak::analyzer {

namespace {

constexpr size_t kMostExamples = 3;
constexpr size_t kMostPaths = 3;
constexpr size_t kMostRangePointers = 3;

// As libleak.so reads it: a number with K, M or G. What it refused it did without.
[[nodiscard]] std::optional<uint64_t> large_setting(const TraceInfo& info)
{
    constexpr std::string_view name = "LEAK_LARGE=";
    std::optional<uint64_t> bytes;
    for (const std::string_view setting : info.settings) {
        if (!setting.starts_with(name)) continue;
        const std::string_view text = setting.substr(name.size());
        uint64_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
        constexpr std::string_view units = "kmgKMG";
        if (error != std::errc() || number == 0 || unit.size() > 1) continue;
        const size_t at = unit.empty() ? 0 : units.find(unit.front());
        if (at == std::string_view::npos) continue;
        bytes = unit.empty() ? number : number << 10 * (at % 3 + 1);
    }
    return bytes;
}

void add(RetentionEvidence& sum, const RetainedBlock& one, bool is_first)
{
    const BlockEvidence& evidence = one.evidence;
    const int64_t at_ns = one.block->allocated_ns;
    sum.oldest_ns = is_first ? at_ns : std::min(sum.oldest_ns, at_ns);
    sum.youngest_ns = is_first ? at_ns : std::max(sum.youngest_ns, at_ns);
    sum.reallocated += evidence.is_reallocated ? 1 : 0;
    if (evidence.pages) {
        const PageUse& pages = *evidence.pages;
        ++sum.blocks_with_pages;
        sum.resident_bytes += pages.touched * format::kSnapshotPageBytes;
        sum.slack_bytes += pages.untouched() * format::kSnapshotPageBytes;
        sum.idle_bytes += pages.unwritten * format::kSnapshotPageBytes;
        sum.unwritten_ns = std::max(sum.unwritten_ns, pages.unwritten_ns);
    }
    if (!evidence.uses) return;
    const BlockUses& uses = *evidence.uses;
    ++sum.blocks_with_uses;
    sum.pointers_to_start += uses.pointers_to_start;
    sum.pointers_inside += uses.pointers_inside;
    sum.owners += uses.owners;
    if (uses.window) sum.window_bytes += uses.window->to - uses.window->from;
    if (!uses.contents) return;
    ++sum.blocks_with_contents;
    sum.contents_bytes += uses.contents->to - uses.contents->from;
}

void add(SiblingCounts& sum, const SiblingCounts& other)
{
    sum.allocations += other.allocations;
    sum.releases += other.releases;
    sum.released_bytes += other.released_bytes;
    sum.live_blocks += other.live_blocks;
    sum.live_bytes += other.live_bytes;
    sum.long_lifetime_ns = std::max(sum.long_lifetime_ns, other.long_lifetime_ns);
}

class Grouper {
public:
    Grouper(const ReplayResult& trace, const MemoryFacts* memory, Symbolizer& symbolizer,
            const RetentionOptions& options, RetainedBlocks& found)
        : trace_(trace), memory_(memory), symbolizer_(symbolizer), options_(options), found_(found)
    {
    }

    std::vector<RetentionSite> run()
    {
        std::map<std::string, Group> groups;
        for (const RetainedBlock& one : found_.blocks) add_block(groups, one);
        leave_out_hidden(groups);
        std::vector<RetentionSite> sites;
        for (auto& [key, group] : groups) {
            RetentionSite& site = group.site;
            const bool is_idle = site.pattern == RetentionPattern::idle;
            if (is_idle && site.evidence.idle_bytes < options_.rules.idle_bytes) continue;
            if (std::max(site.bytes, site.wasted_bytes) < options_.rules.large_bytes) continue;
            for (const StackId stack : group.stacks) add(site.evidence.siblings, found_.siblings[stack]);
            add_examples(group);
            sites.push_back(std::move(site));
        }
        std::ranges::stable_sort(sites, [](const RetentionSite& a, const RetentionSite& b) {
            return a.wasted_bytes != b.wasted_bytes ? a.wasted_bytes > b.wasted_bytes : a.bytes > b.bytes;
        });
        return sites;
    }

private:
    struct Group {
        RetentionSite site;
        std::vector<const RetainedBlock*> blocks;
        std::set<StackId> stacks;
    };

    void add_block(std::map<std::string, Group>& groups, const RetainedBlock& one)
    {
        auto [frames, is_new] = frames_.try_emplace(one.block->stack);
        if (is_new) {
            frames->second = symbolizer_.symbolize(trace_.stacks.frames(one.block->stack));
            if (options_.depth != 0 && frames->second.size() > options_.depth) frames->second.resize(options_.depth);
        }
        const std::string key =
            std::to_string(static_cast<unsigned>(one.retention.pattern)) + '\n' + site_key(frames->second);
        Group& group = groups[key];
        RetentionSite& site = group.site;
        if (site.blocks == 0) {
            site.frames = frames->second;
            site.pattern = one.retention.pattern;
        }
        add(site.evidence, one, site.blocks == 0);
        ++site.blocks;
        site.bytes += one.block->bytes;
        site.wasted_bytes += one.retention.wasted_bytes;
        site.is_mapped = site.is_mapped || is_mapping(one.block->kind);
        for (size_t i = 0; i < kRetentionPatternCount; ++i) site.also[i] = site.also[i] || one.retention.also[i];
        group.blocks.push_back(&one);
        group.stacks.insert(one.block->stack);
    }

    void leave_out_hidden(std::map<std::string, Group>& groups) const
    {
        if (options_.suppressions == nullptr) return;
        Suppressions suppressions = *options_.suppressions;
        for (const auto& [key, group] : groups) suppressions.look_at(group.site.frames, group.site.blocks);
        std::erase_if(groups, [&](const auto& entry) {
            return suppressions.hides(entry.second.site.frames, entry.second.site.blocks, 0);
        });
    }

    void add_examples(Group& group)
    {
        std::ranges::stable_sort(group.blocks, std::ranges::greater{},
                                 [](const RetainedBlock* one) { return one->retention.wasted_bytes; });
        RetentionSite& site = group.site;
        for (size_t i = 0; i < group.blocks.size() && i < kMostExamples; ++i) {
            const RetainedBlock& one = *group.blocks[i];
            site.examples.push_back({.address = one.block->address,
                                     .bytes = one.block->bytes,
                                     .wasted_bytes = one.retention.wasted_bytes,
                                     .allocated_ns = one.block->allocated_ns,
                                     .evidence = one.evidence});
        }
        add_paths(site, *group.blocks.front());
    }

    void add_paths(RetentionSite& site, const RetainedBlock& one)
    {
        if (memory_ == nullptr) return;
        if (!paths_) paths_.emplace(memory_->graph);
        const uint64_t begin = one.block->address;
        const auto add = [&](const std::vector<uint32_t>& path) {
            if (path.empty()) return;
            KeptBy kept = describe_path(trace_, memory_->graph, symbolizer_, path, begin);
            if (std::ranges::find(site.kept_by, kept) == site.kept_by.end()) site.kept_by.push_back(std::move(kept));
        };
        if (is_mapping(one.block->kind)) {
            for (const uint32_t word : words_into({begin, begin + one.block->bytes})) add(paths_->by_word(word));
            return;
        }
        if (one.number == kNoBlock) return;
        for (const uint32_t word : found_.uses->referrers(one.number, kMostPaths)) add(paths_->by_word(word));
        if (site.kept_by.empty()) add(paths_->to_block(one.number));
    }

    // The first few words that point into a mapped range and lie in what the program can reach.
    [[nodiscard]] std::vector<uint32_t> words_into(AddressRange range) const
    {
        const PointerGraph& graph = memory_->graph;
        std::vector<uint32_t> found;
        for (uint32_t word = 0; word < graph.words().size() && found.size() < kMostRangePointers; ++word) {
            const auto [address, value] = graph.words()[word];
            if (value < range.begin || value >= range.end) continue;
            if (address >= range.begin && address < range.end) continue;
            const BlockNumber holder = graph.block_at(address);
            const bool is_live = holder == kNoBlock ? !is_free(address) : !paths_->to_block(holder).empty();
            if (is_live) found.push_back(word);
        }
        return found;
    }

    [[nodiscard]] bool is_free(uint64_t address) const
    {
        const auto behind = std::ranges::upper_bound(memory_->allocator.ranges, address, {}, &AddressRange::begin);
        return behind != memory_->allocator.ranges.begin() && address < std::prev(behind)->end;
    }

    const ReplayResult& trace_;
    const MemoryFacts* memory_;
    Symbolizer& symbolizer_;
    const RetentionOptions& options_;
    RetainedBlocks& found_;
    std::unordered_map<StackId, std::vector<Frame>> frames_;
    std::optional<RootPaths> paths_;
};

} // namespace

RetentionReport make_retention_report(const ReplayResult& trace, const MemoryFacts* memory, Symbolizer& symbolizer,
                                      const RetentionOptions& options)
{
    RetentionOptions chosen = options;
    chosen.rules.large_bytes =
        options.large_bytes.value_or(large_setting(trace.info).value_or(options.rules.large_bytes));
    RetainedBlocks found = find_retained(trace, memory, chosen.rules);
    RetentionReport report;
    report.info = trace.info;
    report.rules = chosen.rules;
    if (memory != nullptr) {
        report.snapshot_ns = trace.memory->at_ns;
        report.core = trace.memory->core;
        report.pages_are_known = trace.memory->image.unknown.empty();
    }
    report.has_unwritten = found.run.has_unwritten;
    report.had_load_stop = found.run.last_stop_ns.has_value();
    report.judged_blocks = found.judged;
    report.sites = Grouper(trace, memory, symbolizer, chosen, found).run();
    return report;
}

} // namespace leak::analyzer
