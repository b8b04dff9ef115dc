#include "analyzer/report/growth.hpp"

#include "analyzer/replay/histories.hpp"
#include "analyzer/report/allocator_memory.hpp"
#include "analyzer/report/caller_work.hpp"
#include "analyzer/report/frame_kind.hpp"
#include "analyzer/report/process_samples.hpp"
#include "analyzer/report/site_key.hpp"
#include "analyzer/user_error.hpp"

#include <algorithm>
#include <map>
#include <string>

namespace leak::analyzer {

namespace {

using Table = StackAccounts::Table;

constexpr uint64_t kLeastPeak = 1024;    // of a stack that may be part of a site
constexpr uint64_t kLeastRise = 1 << 20; // of RSS that asks for a cause
constexpr double kLeastRiseShare = 0.1;  // of what it was before
constexpr double kExplainsShare = 0.3;   // of what RSS has more: a cause
constexpr double kReturnedShare = 0.5;   // of the rise: gave most of it back

struct Candidate {
    std::vector<Frame> frames;
    std::vector<uint32_t> accounts;
    size_t stacks = 0; // that read differently
};

// Its blocks are ranges that a library which replaces malloc has mapped for itself.
[[nodiscard]] bool is_of_allocator(const ReplayResult& trace, uint32_t account)
{
    const Pc innermost = trace.stacks.pc(trace.accounts.stack(account - Table::kFirstStack));
    return is_allocator_library(trace.modules[innermost.module.value].path);
}

// Stacks that read the same are one.
[[nodiscard]] std::vector<Candidate> candidates(const ReplayResult& trace, Symbolizer& symbolizer, size_t depth)
{
    std::map<std::string, Candidate> by_key;
    for (size_t i = 0; i < trace.accounts.stacks(); ++i) {
        const uint32_t account = Table::kFirstStack + static_cast<uint32_t>(i);
        if (trace.accounts.totals(account).peak_bytes < kLeastPeak || is_of_allocator(trace, account)) continue;
        std::vector<Frame> frames = symbolizer.symbolize(trace.stacks.frames(trace.accounts.stack(i)));
        if (depth != 0 && frames.size() > depth) frames.resize(depth);
        Candidate& candidate = by_key[site_key(frames)];
        if (candidate.accounts.empty()) candidate.frames = std::move(frames);
        candidate.stacks = 1;
        candidate.accounts.push_back(account);
    }
    std::vector<Candidate> list;
    for (auto& [key, candidate] : by_key) list.push_back(std::move(candidate));
    return list;
}

[[nodiscard]] uint64_t live_blocks(const StackAccounts& accounts, const Candidate& candidate)
{
    uint64_t blocks = 0;
    for (const uint32_t account : candidate.accounts) blocks += accounts.totals(account).live_blocks;
    return blocks;
}

// Those that agree in their innermost frames.
[[nodiscard]] std::vector<Candidate> join(std::vector<Candidate>& list, size_t depth)
{
    std::map<std::string, Candidate> by_key;
    for (Candidate& candidate : list) {
        if (candidate.frames.size() > depth) candidate.frames.resize(depth);
        Candidate& joined = by_key[site_key(candidate.frames)];
        joined.frames = std::move(candidate.frames);
        joined.accounts.insert(joined.accounts.end(), candidate.accounts.begin(), candidate.accounts.end());
        joined.stacks += candidate.stacks;
    }
    std::vector<Candidate> all;
    for (auto& [key, candidate] : by_key) all.push_back(std::move(candidate));
    return all;
}

void leave_out_hidden(std::vector<Candidate>& list, const StackAccounts& accounts, Suppressions suppressions)
{
    for (const Candidate& candidate : list) suppressions.look_at(candidate.frames, live_blocks(accounts, candidate));
    std::erase_if(list, [&](const Candidate& candidate) {
        return suppressions.hides(candidate.frames, live_blocks(accounts, candidate), 0);
    });
}

[[nodiscard]] std::vector<GrowthSite> judge_sites(const ReplayResult& trace, Symbolizer& symbolizer,
                                                  const Histories& histories, const Curve& heap,
                                                  const std::vector<Phase>& phases, const GrowthOptions& options)
{
    std::vector<Candidate> list = candidates(trace, symbolizer, options.depth);
    if (options.suppressions != nullptr) leave_out_hidden(list, trace.accounts, *options.suppressions);
    const CallerWork callers(trace);
    std::map<StackId, Curve> work; // of callers
    std::vector<GrowthSite> sites;
    // Moves those that have a verdict into `sites`.
    const auto judge = [&](std::vector<Candidate>& some, auto is_wanted) {
        std::erase_if(some, [&](Candidate& candidate) {
            uint64_t peak = 0;
            for (const uint32_t account : candidate.accounts) peak += trace.accounts.totals(account).peak_bytes;
            if (peak < options.rules.material_bytes) return false;
            const StackId caller = callers.caller_of(candidate.accounts);
            if (!work.contains(caller)) work[caller] = histories.of(callers.accounts_below(caller));
            auto growth = judge_growth(histories.of(candidate.accounts), work[caller], heap, phases, options.rules);
            if (!growth || !is_wanted(growth->verdict)) return false;
            sites.push_back({.growth = std::move(*growth),
                             .frames = std::move(candidate.frames),
                             .stacks = candidate.stacks,
                             .is_mapped = live_blocks(trace.accounts, candidate) == 0});
            return true;
        });
    };
    judge(list, [](GrowthVerdict) { return true; });
    // What is spread over stacks that are too small each: by fewer and fewer of the innermost frames.
    for (const size_t depth : {16u, 8u, 4u, 3u, 2u, 1u}) {
        std::vector<Candidate> joined = join(list, depth);
        judge(joined, [](GrowthVerdict verdict) { return verdict != GrowthVerdict::drained; });
        list = std::move(joined);
    }
    std::ranges::stable_sort(sites, [](const GrowthSite& a, const GrowthSite& b) {
        if (a.growth.verdict != b.growth.verdict) return a.growth.verdict < b.growth.verdict;
        return a.growth.bytes_at_end > b.growth.bytes_at_end;
    });
    return sites;
}

// -- The process -----------------------------------------------------------------------------------------------------

[[nodiscard]] double change(uint64_t from, uint64_t to)
{
    return static_cast<double>(to) - static_cast<double>(from);
}

[[nodiscard]] GrowthCause cause_of(const ProcessGrowth& process)
{
    const Layers& before = process.at.front();
    const Layers& end = process.at.back();
    if (!end.sample.rss_bytes) return GrowthCause::unknown;
    const uint64_t rss_before = process.rss_before_bytes;
    const double rise = change(rss_before, process.most_rss_bytes);
    if (rise < std::max(static_cast<double>(kLeastRise), kLeastRiseShare * static_cast<double>(rss_before)))
        return GrowthCause::none;
    if (change(rss_before, *end.sample.rss_bytes) < (1 - kReturnedShare) * rise) return GrowthCause::returned;
    const double program = change(before.live_bytes, end.live_bytes);
    const double mapped = change(before.mapped_bytes, end.mapped_bytes);
    // An allocator that can't be asked keeps what nobody else has; what is there from the beginning is not its.
    const double rest = before.sample.rss_bytes ? change(rss_before, *end.sample.rss_bytes) - program - mapped : 0;
    const double allocator =
        end.sample.free_bytes ? change(before.sample.free_bytes.value_or(0), *end.sample.free_bytes) : rest;
    const std::pair<double, GrowthCause> parts[] = {
        {program, GrowthCause::program}, {mapped, GrowthCause::mapped}, {allocator, GrowthCause::allocator}};
    const auto& largest = *std::ranges::max_element(parts, {}, &std::pair<double, GrowthCause>::first);
    const bool explains = largest.first >= kExplainsShare * change(rss_before, *end.sample.rss_bytes);
    return explains ? largest.second : GrowthCause::unknown;
}

// What the kernel charged before the load. Where it was not asked then: what it said first, less what the program had
// taken since.
[[nodiscard]] uint64_t rss_before(const ReplayResult& trace, const Layers& before, const Curve& heap,
                                  const Curve& mapped)
{
    if (before.sample.rss_bytes) return *before.sample.rss_bytes;
    const auto first =
        std::ranges::find_if(trace.samples, [](const ProcessSample& sample) { return sample.rss_bytes.has_value(); });
    if (first == trace.samples.end()) return 0;
    const uint64_t had = before.live_bytes + before.mapped_bytes + before.allocator_mapped_bytes;
    const uint64_t has = state_at(heap, first->at_ns).live_bytes + state_at(mapped, first->at_ns).live_bytes;
    const double base = static_cast<double>(*first->rss_bytes) - std::max(0.0, change(had, has));
    return static_cast<uint64_t>(std::max(0.0, base));
}

[[nodiscard]] ProcessGrowth process_growth(const ReplayResult& trace, const Histories& histories,
                                           const std::vector<Phase>& phases)
{
    ProcessGrowth process;
    const Curve heap = histories.of({{Table::kHeap}});
    const Curve mapped = histories.of({{Table::kMapped}});
    std::vector<uint32_t> of_allocator;
    for (uint32_t account = Table::kFirstStack; account < Table::kFirstStack + trace.accounts.stacks(); ++account)
        if (is_of_allocator(trace, account)) of_allocator.push_back(account);
    const Curve allocator = histories.of(of_allocator);
    const auto add = [&](const char* moment, int64_t at_ns) {
        const HistorySample state = state_at(heap, at_ns);
        const uint64_t allocator_mapped = state_at(allocator, at_ns).live_bytes;
        process.at.push_back({.moment = moment,
                              .at_ns = at_ns,
                              .live_bytes = state.live_bytes,
                              .live_blocks = state.live_blocks,
                              .mapped_bytes = state_at(mapped, at_ns).live_bytes - allocator_mapped,
                              .allocator_mapped_bytes = allocator_mapped,
                              .sample = sample_at(trace.samples, at_ns)});
    };
    const std::vector<GrowthCycle> cycles = cycles_of(phases);
    const Phase* load = endless_load(phases);
    add("before load", !cycles.empty() ? cycles.front().load_from_ns : load != nullptr ? load->from_ns : 0);
    if (load == nullptr && !cycles.empty()) add("load stop", cycles.back().load_stop_ns);
    int64_t end_ns = 0;
    for (const Phase& phase : phases)
        if (phase.kind != PhaseKind::exit) end_ns = std::max(end_ns, phase.to_ns);
    add("end", end_ns);
    for (const ProcessSample& sample : trace.samples)
        if (sample.at_ns >= process.at.front().at_ns && sample.at_ns <= end_ns)
            process.most_rss_bytes = std::max(process.most_rss_bytes, sample.rss_bytes.value_or(0));
    process.rss_before_bytes = rss_before(trace, process.at.front(), heap, mapped);
    process.cause = cause_of(process);
    return process;
}

} // namespace

std::optional<int64_t> time_to_limit(const GrowthReport& report, double bytes_per_s)
{
    const ProcessSample& end = report.process.at.back().sample;
    if (!end.rss_bytes || bytes_per_s <= 0) return std::nullopt;
    std::optional<uint64_t> limit = end.memory_limit_bytes;
    if (end.address_space_limit_bytes) limit = std::min(limit.value_or(UINT64_MAX), *end.address_space_limit_bytes);
    if (!limit) return std::nullopt;
    const double seconds = std::max(0.0, change(*end.rss_bytes, *limit)) / bytes_per_s;
    constexpr double kMostSeconds = 100 * 365.25 * 86400;
    return static_cast<int64_t>(std::min(seconds, kMostSeconds) * 1e9);
}

Run run_of(const ReplayResult& trace, const Histories& histories)
{
    return {.heap = histories.of({{Table::kHeap}}),
            .end_ns = end_of_run(trace),
            .tick_ns = trace.accounts.tick_ns(),
            .ended_normally = trace.info.end_state == format::EndState::exit_started ||
                              trace.info.end_state == format::EndState::fast_exit};
}

GrowthReport make_growth_report(const ReplayResult& trace, Symbolizer& symbolizer, const GrowthOptions& options)
{
    GrowthReport report;
    report.info = trace.info;
    report.rules = options.rules;
    report.program_end = end_of_program(trace);
    const Histories histories(trace.accounts, end_of_run(trace));
    const Run run = run_of(trace, histories);
    report.phases = phases_of(run, trace.info.marks, options.phases);
    if (!options.phases.empty() && report.phases.front().source != PhaseSource::options)
        throw UserError(trace.info.path + ": none of the phases given lies in the run, which lasted " +
                        std::to_string(static_cast<double>(run.end_ns) / 1e9) + " s; see leakan timeline");
    report.sites = judge_sites(trace, symbolizer, histories, run.heap, report.phases, options);
    report.process = process_growth(trace, histories, report.phases);
    return report;
}

} // namespace leak::analyzer
