#include "analyzer/report/retained_blocks.hpp"

#include "analyzer/analysis/free_below.hpp"
#include "analyzer/analysis/heap_pages.hpp"
#include "analyzer/report/allocator_memory.hpp"
#include "analyzer/report/frame_kind.hpp"
#include "analyzer/report/growth.hpp"
#include "analyzer/report/process_samples.hpp"
#include "analyzer/report/stack_sites.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

using Table = StackAccounts::Table;

constexpr uint64_t kLeastOfMany = 2 * kPageBytes; // of one of many blocks that add up to a large one
constexpr double kLongLifetime = 0.95;

[[nodiscard]] RunEvidence run_evidence(const ReplayResult& trace)
{
    RunEvidence evidence;
    evidence.end_ns = end_of_run(trace);
    evidence.has_unwritten = trace.memory && !trace.memory->unwritten.empty();
    const Histories histories(trace.accounts, evidence.end_ns);
    const std::vector<Phase> phases = phases_of(run_of(trace, histories), trace.info.marks, {});
    for (const GrowthCycle& cycle : cycles_of(phases)) evidence.last_stop_ns = cycle.load_stop_ns;
    return evidence;
}

class Finder {
public:
    Finder(const ReplayResult& trace, const MemoryFacts* memory, const RetentionRules& rules)
        : trace_(trace), memory_(memory), rules_(rules)
    {
        found_.run = run_evidence(trace);
        for (uint32_t i = 0; i < trace.accounts.stacks(); ++i)
            account_of_[trace.accounts.stack(i)] = Table::kFirstStack + i;
    }

    RetainedBlocks run()
    {
        find_large();
        find_mapped();
        judge();
        find_survivors();
        for (const RetainedBlock& block : found_.blocks)
            found_.siblings[block.block->stack] = siblings_of(block.block->stack);
        return std::move(found_);
    }

private:
    // Of all blocks of its stack.
    [[nodiscard]] const SiblingCounts& siblings_of(StackId stack)
    {
        const auto [at, is_new] = siblings_.try_emplace(stack);
        const auto account = account_of_.find(stack);
        if (is_new && account != account_of_.end()) {
            const format::StackTotals totals = trace_.accounts.totals(account->second);
            at->second = {
                totals.allocations,    totals.releases,
                totals.released_bytes, totals.live_blocks,
                totals.live_bytes,     lifetime_quantile(trace_.accounts.lifetimes(account->second), kLongLifetime)};
        }
        return at->second;
    }

    // The block's number; nothing: it is no matter of retention.
    [[nodiscard]] std::optional<BlockNumber> number_of(const LiveBlock& block) const
    {
        if (memory_ == nullptr) return kNoBlock;
        const BlockNumber number = memory_->graph.find(block);
        if (number == kNoBlock) return number; // younger than the snapshot
        const BlockClass is = memory_->reachability.classes[number];
        if (is == BlockClass::unreachable || is == BlockClass::indirect) return std::nullopt;
        return number;
    }

    [[nodiscard]] RetainedBlock candidate(const LiveBlock& block, BlockNumber number)
    {
        RetainedBlock one{.block = &block, .number = number, .evidence = {}, .retention = {}};
        one.evidence.bytes = block.bytes;
        one.evidence.age_ns = found_.run.end_ns - block.allocated_ns;
        one.evidence.is_reallocated = block.kind == format::EventKind::realloc_ ||
                                      block.kind == format::EventKind::reallocarray_ ||
                                      block.kind == format::EventKind::mremap_;
        one.evidence.siblings = siblings_of(block.stack);
        return one;
    }

    void find_large()
    {
        std::unordered_map<StackId, uint64_t> bytes;
        for (const LiveBlock& block : trace_.unfreed) bytes[block.stack] += block.bytes;
        for (const LiveBlock& block : trace_.unfreed) {
            if (block.blocks != 1 || block.bytes < std::min(rules_.large_bytes, kLeastOfMany)) continue;
            if (bytes[block.stack] < rules_.large_bytes || block.kind == format::EventKind::custom_alloc) continue;
            if (const auto number = number_of(block)) candidates_.push_back(candidate(block, *number));
        }
    }

    // Nothing but pages is known of mapped ranges; of those that allocators take for themselves nothing is asked.
    void find_mapped()
    {
        if (memory_ == nullptr) return;
        const std::vector<LiveBlock>& known = trace_.memory->mapped;
        for (const LiveBlock& range : trace_.mapped) {
            if (range.bytes < rules_.large_bytes) continue;
            const Pc innermost = trace_.stacks.pc(range.stack);
            if (is_allocator_library(trace_.modules[innermost.module.value].path)) continue;
            const auto same = std::ranges::lower_bound(known, range.address, {}, &LiveBlock::address);
            const bool was_there = same != known.end() && same->address == range.address && same->stamp == range.stamp;
            if (was_there) candidates_.push_back(candidate(range, kNoBlock));
        }
    }

    void judge()
    {
        found_.judged = candidates_.size();
        if (memory_ != nullptr) {
            std::vector<BlockNumber> numbers;
            for (const RetainedBlock& one : candidates_)
                if (one.number != kNoBlock) numbers.push_back(one.number);
            std::ranges::sort(numbers);
            found_.uses = std::make_unique<UseFinder>(memory_->graph, memory_->reachability, numbers);
        }
        for (RetainedBlock& one : candidates_) {
            add_evidence(one);
            const std::optional<Retention> retention = judge_retention(one.evidence, found_.run, rules_);
            if (!retention) continue;
            const bool survives = is_survivor(one.evidence, rules_);
            if (survives && retention->pattern > RetentionPattern::survivor) continue; // found as such
            one.retention = *retention;
            one.retention.also[static_cast<size_t>(RetentionPattern::survivor)] = survives;
            found_.blocks.push_back(std::move(one));
        }
    }

    void add_evidence(RetainedBlock& one)
    {
        const LiveBlock& block = *one.block;
        BlockEvidence& evidence = one.evidence;
        if (one.number == kNoBlock && !is_mapping(block.kind)) {
            if (evidence.is_reallocated && memory_ == nullptr) evidence.resting_ns = resting_ns(block.stack);
            return;
        }
        const int64_t since_ns = idle_since(found_.run, rules_).value_or(INT64_MIN);
        evidence.pages = page_use(*trace_.memory, {block.address, block.address + block.bytes}, since_ns);
        if (evidence.pages->pages == 0) evidence.pages.reset(); // of a file, or nothing but the ends of pages
        if (one.number == kNoBlock) return;
        evidence.uses = found_.uses->uses(one.number);
        if (!evidence.uses->contents) return;
        const OffsetRange& contents = *evidence.uses->contents;
        const PageUse before = page_use(*trace_.memory, {block.address, block.address + contents.from}, since_ns);
        PageUse outside =
            page_use(*trace_.memory, {block.address + contents.to, block.address + block.bytes}, since_ns);
        outside.pages += before.pages;
        outside.touched += before.touched;
        outside.unknown += before.unknown;
        outside.steady += before.steady;
        outside.unwritten += before.unwritten;
        evidence.outside = outside;
    }

    [[nodiscard]] int64_t resting_ns(StackId stack) const
    {
        const auto account = account_of_.find(stack);
        if (account == account_of_.end()) return 0;
        const Curve history = trace_.accounts.history(account->second);
        return history.empty() ? 0 : found_.run.end_ns - history.back().at_ns;
    }

    // What a survivor wastes is the free memory around it, and itself where it is large.
    void find_survivors()
    {
        std::vector<bool> is_taken(trace_.unfreed.size());
        for (const RetainedBlock& one : found_.blocks)
            if (!is_mapping(one.block->kind)) is_taken[index_of(*one.block)] = true;
        const auto is_left = [&](size_t i) {
            const LiveBlock& block = trace_.unfreed[i];
            if (is_taken[i] || block.blocks != 1 || block.kind == format::EventKind::custom_alloc) return false;
            // Most stacks have none.
            const SiblingCounts& siblings = siblings_of(block.stack);
            if (siblings.allocations < rules_.survivor_siblings || siblings.releases < siblings.live_blocks)
                return false;
            return is_survivor(candidate(block, kNoBlock).evidence, rules_) && number_of(block).has_value();
        };
        std::unordered_map<StackId, std::vector<RetainedBlock>> by_stack;
        const auto add = [&](size_t i, uint64_t wasted) {
            const LiveBlock& block = trace_.unfreed[i];
            RetainedBlock one = candidate(block, number_of(block).value_or(kNoBlock));
            add_pages(one);
            one.retention = {.pattern = RetentionPattern::survivor, .wasted_bytes = wasted};
            by_stack[block.stack].push_back(std::move(one));
        };
        for (size_t i = 0; i < trace_.unfreed.size(); ++i)
            if (is_mapped_alone(trace_.unfreed[i]) && is_left(i)) add(i, 0);
        const MemoryView* memory = memory_ == nullptr ? nullptr : &*trace_.memory;
        for_free_below(trace_.unfreed, memory, end_of_program(trace_), is_left, add);
        for (auto& [stack, blocks] : by_stack) add_survivors(stack, std::move(blocks));
    }

    void add_pages(RetainedBlock& one) const
    {
        if (memory_ == nullptr || one.number == kNoBlock) return;
        const int64_t since_ns = idle_since(found_.run, rules_).value_or(INT64_MIN);
        one.evidence.pages =
            page_use(*trace_.memory, {one.block->address, one.block->address + one.block->bytes}, since_ns);
    }

    // Not more than their stack ever released is free because of them.
    void add_survivors(StackId stack, std::vector<RetainedBlock> blocks)
    {
        const format::StackTotals totals = trace_.accounts.totals(account_of_.at(stack));
        uint64_t most = totals.peak_bytes - std::min(totals.peak_bytes, totals.live_bytes);
        uint64_t wasted = 0;
        for (RetainedBlock& one : blocks) {
            uint64_t& one_wasted = one.retention.wasted_bytes;
            one_wasted = std::min(one_wasted, most);
            most -= one_wasted;
            if (one.block->bytes >= rules_.large_bytes) one_wasted += one.block->bytes / kPageBytes * kPageBytes;
            wasted += one_wasted;
        }
        if (wasted < rules_.large_bytes) return;
        std::erase_if(blocks, [](const RetainedBlock& one) { return one.retention.wasted_bytes == 0; });
        std::ranges::move(blocks, std::back_inserter(found_.blocks));
    }

    [[nodiscard]] size_t index_of(const LiveBlock& block) const
    {
        return static_cast<size_t>(&block - trace_.unfreed.data());
    }

    const ReplayResult& trace_;
    const MemoryFacts* memory_;
    const RetentionRules& rules_;
    RetainedBlocks found_;
    std::unordered_map<StackId, uint32_t> account_of_;
    std::unordered_map<StackId, SiblingCounts> siblings_;
    std::vector<RetainedBlock> candidates_;
};

} // namespace

RetainedBlocks find_retained(const ReplayResult& trace, const MemoryFacts* memory, const RetentionRules& rules)
{
    return Finder(trace, memory, rules).run();
}

} // namespace leak::analyzer
