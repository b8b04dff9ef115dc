#include "analyzer/analysis/growth_verdict.hpp"

#include <algorithm>
#include <cmath>

namespace leak::analyzer {

namespace {

constexpr size_t kTrendMoments = 40;
constexpr double kSettleShare = 0.1;  // of an idle phase: not part of its trend
constexpr double kWarmUpShare = 0.25; // of a load that never stops
constexpr double kValleyShare = 0.1;  // of an idle phase, at its end
constexpr size_t kRatchetCycles = 3;
// Of the work under load, at its end: a site that adds less than kLevelShare of its growth in it has levelled off. One
// that grows in large steps (a vector that doubles) must be level for longer.
constexpr double kLevelWork = 1.0 / 3;
constexpr double kLevelWorkOfSteps = 0.6;
constexpr double kLevelShare = 0.05;
constexpr double kLargeStep = 0.3;  // of the growth
constexpr double kLastThird = 0.5;  // of an even third: a rise that goes on
constexpr double kGivenBack = 0.8;  // of a rise
constexpr double kRenewed = 0.4;    // of what is left
constexpr double kSameHeight = 1.6; // a factor: two heights are about the same

[[nodiscard]] int64_t between(int64_t from, int64_t to, double share)
{
    return from + static_cast<int64_t>(static_cast<double>(to - from) * share);
}

[[nodiscard]] double seconds(int64_t ns)
{
    return static_cast<double>(ns) / 1e9;
}

// The least the site has in [from, to].
[[nodiscard]] uint64_t least_in(const Curve& site, int64_t from_ns, int64_t to_ns)
{
    uint64_t least = state_at(site, from_ns).live_bytes;
    const auto begin = std::ranges::upper_bound(site, from_ns, {}, &HistorySample::at_ns);
    for (auto at = begin; at != site.end() && at->at_ns <= to_ns; ++at) least = std::min(least, at->live_bytes);
    return least;
}

[[nodiscard]] double less(uint64_t a, uint64_t b)
{
    return static_cast<double>(a) - static_cast<double>(b);
}

class Judge {
public:
    Judge(const Curve& site, const Curve& work, const Curve& all, std::span<const Phase> phases,
          const GrowthRules& rules)
        : site_(site), work_(work), all_(all), phases_(phases), rules_(rules)
    {
    }

    [[nodiscard]] std::optional<SiteGrowth> verdict()
    {
        measure();
        if (growth_.cycles.empty() && endless_load(phases_) == nullptr) return std::nullopt;
        if (const auto verdict = decide()) {
            growth_.verdict = *verdict;
            if (*verdict == GrowthVerdict::climbing) {
                const Phase& load = *endless_load(phases_);
                growth_.bytes_before = state_at(site_, load.from_ns).live_bytes;
                growth_.bytes_at_stop = growth_.bytes_at_end = state_at(site_, load.to_ns).live_bytes;
            }
            say_slope();
            return std::move(growth_);
        }
        return std::nullopt;
    }

private:
    [[nodiscard]] std::optional<GrowthVerdict> decide() const
    {
        if (endless_load(phases_) != nullptr) {
            if (rises() && goes_on()) return GrowthVerdict::climbing;
            if (growth_.cycles.empty()) return std::nullopt;
        } else if (rises() && goes_on() && !has_risen_and_fallen()) {
            return GrowthVerdict::growing;
        }
        const double most = most_at_stop();
        if (most < material(growth_.bytes_at_stop)) return std::nullopt;
        if (left() < static_cast<double>(rules_.material_bytes)) return GrowthVerdict::drained;
        const bool is_level = has_levelled_off() || is_renewed();
        if (!is_level && is_ratchet()) return GrowthVerdict::ratchet;
        if (left() < rules_.held_share * most) return GrowthVerdict::drained;
        return is_level ? GrowthVerdict::plateau : GrowthVerdict::held;
    }

    void measure()
    {
        growth_.cycles = cycles_of(phases_);
        for (GrowthCycle& cycle : growth_.cycles) {
            cycle.bytes_before = state_at(site_, cycle.load_from_ns).live_bytes;
            cycle.bytes_at_stop = state_at(site_, cycle.load_stop_ns).live_bytes;
            cycle.bytes_at_end =
                least_in(site_, between(cycle.load_stop_ns, cycle.idle_to_ns, 1 - kValleyShare), cycle.idle_to_ns);
            const double added = less(cycle.bytes_at_stop, cycle.bytes_before);
            if (added < material(cycle.bytes_at_stop)) continue;
            const bool is_held = less(cycle.bytes_at_end, cycle.bytes_before) >= rules_.held_share * added;
            cycle.verdict = is_held ? GrowthVerdict::held : GrowthVerdict::drained;
        }
        if (!growth_.cycles.empty()) {
            growth_.bytes_before = growth_.cycles.front().bytes_before;
            growth_.bytes_at_stop = growth_.cycles.back().bytes_at_stop;
            growth_.bytes_at_end = growth_.cycles.back().bytes_at_end;
        }
        if (const Phase* load = endless_load(phases_)) {
            measure_trend(between(load->from_ns, load->to_ns, kWarmUpShare), load->to_ns);
        } else if (!growth_.cycles.empty()) {
            const GrowthCycle& last = growth_.cycles.back();
            measure_trend(between(last.load_stop_ns, last.idle_to_ns, kSettleShare), last.idle_to_ns);
        }
    }

    void measure_trend(int64_t from_ns, int64_t to_ns)
    {
        GrowthTrend& trend = growth_.trend.emplace();
        trend.from_ns = from_ns;
        trend.to_ns = to_ns;
        std::vector<double> at, bytes;
        for (size_t i = 0; i < kTrendMoments; ++i) {
            const int64_t moment =
                between(from_ns, to_ns, static_cast<double>(i) / static_cast<double>(kTrendMoments - 1));
            trend.bytes.push_back(state_at(site_, moment).live_bytes);
            at.push_back(seconds(moment - from_ns));
            bytes.push_back(static_cast<double>(trend.bytes.back()));
        }
        trend.trend = trend_of(at, bytes);
    }

    [[nodiscard]] double material(uint64_t bytes) const
    {
        return std::max(static_cast<double>(rules_.material_bytes), rules_.material_share * static_cast<double>(bytes));
    }

    // The trend is no chance, and it and the floor rise by a material amount.
    [[nodiscard]] bool rises() const
    {
        const GrowthTrend& trend = *growth_.trend;
        const double least = material(trend.bytes.front());
        return trend.trend.p_value <= rules_.most_p_value &&
               trend.trend.slope_low * seconds(trend.to_ns - trend.from_ns) >= least && floor_rise(0) >= least;
    }
    // It has not come to rest in the last third.
    [[nodiscard]] bool goes_on() const { return floor_rise(kTrendMoments * 2 / 3) >= kLastThird / 3 * floor_rise(0); }
    // How much the floor of the trend's moments rises from one of them to the end.
    [[nodiscard]] double floor_rise(size_t from) const
    {
        const auto& bytes = growth_.trend->bytes;
        return less(bytes.back(), *std::min_element(bytes.begin() + static_cast<ptrdiff_t>(from), bytes.end()));
    }

    // Before the idle phase, too, it rose to about this height, twice or more, and most of the rise was given back: a
    // buffer that is flushed now and then.
    [[nodiscard]] bool has_risen_and_fallen() const
    {
        const GrowthTrend& trend = *growth_.trend;
        return falls(0, trend.from_ns, static_cast<double>(trend.bytes.back()), kGivenBack * floor_rise(0)) >= 2;
    }
    // Under load what was there made room for what is there at the end: a cache that is renewed.
    [[nodiscard]] bool is_renewed() const
    {
        size_t count = 0;
        for_each_load([&](int64_t from, int64_t to) {
            count += falls(from, to, static_cast<double>(growth_.bytes_at_end), kRenewed * left());
        });
        return count >= 2;
    }
    // How often it fell, in [from, to], by `depth` from about `height`.
    [[nodiscard]] size_t falls(int64_t from_ns, int64_t to_ns, double height, double depth) const
    {
        size_t count = 0;
        double highest = 0;
        for (const HistorySample& sample : site_) {
            if (sample.at_ns < from_ns) continue;
            if (sample.at_ns > to_ns) break;
            const auto bytes = static_cast<double>(sample.live_bytes);
            highest = std::max(highest, bytes);
            if (highest - bytes < depth) continue;
            count += highest > height / kSameHeight && highest < height * kSameHeight;
            highest = bytes;
        }
        return count;
    }

    [[nodiscard]] double left() const { return less(growth_.bytes_at_end, growth_.bytes_before); }
    [[nodiscard]] double most_at_stop() const
    {
        double most = 0;
        for (const GrowthCycle& cycle : growth_.cycles)
            most = std::max(most, less(cycle.bytes_at_stop, growth_.bytes_before));
        return most;
    }

    // -- Level -------------------------------------------------------------------------------------------------------

    // Calls visit(from_ns, to_ns) for each load that stopped.
    template <typename Visit> void for_each_load(Visit&& visit) const
    {
        for (const GrowthCycle& cycle : growth_.cycles) visit(cycle.load_from_ns, cycle.load_stop_ns);
    }

    // The moment under load at which all but `share` of the callers' work was done.
    [[nodiscard]] int64_t moment_before_last(double share) const
    {
        uint64_t all = 0;
        for_each_load([&](int64_t from, int64_t to) { all += allocations_in(work_, from, to); });
        auto wanted = static_cast<uint64_t>(static_cast<double>(all) * (1 - share));
        int64_t moment = 0;
        bool is_found = false;
        for_each_load([&](int64_t from, int64_t to) {
            if (is_found) return;
            moment = to;
            const uint64_t done = allocations_in(work_, from, to);
            if (done < wanted) {
                wanted -= done;
                return;
            }
            is_found = true;
            int64_t low = from, high = to;
            while (high - low > 1'000'000) {
                const int64_t middle = low + (high - low) / 2;
                (allocations_in(work_, from, middle) < wanted ? low : high) = middle;
            }
            moment = high;
        });
        return moment;
    }

    [[nodiscard]] bool has_levelled_off() const
    {
        const double grown = left();
        const GrowthCycle& last = growth_.cycles.back();
        const auto floor_before_last = [&](double share) {
            return least_in(site_, moment_before_last(share), last.load_stop_ns);
        };
        const auto is_level_for = [&](double share) {
            const uint64_t begin = floor_before_last(share);
            const double late = less(last.bytes_at_stop, begin);
            if (late > kLevelShare * grown) return false;
            if (late < material(growth_.bytes_at_end)) return true;
            // Little beside the rest, but much: a leak if it goes on, a cache's last step if not.
            const uint64_t parts[] = {begin, floor_before_last(share * 2 / 3), floor_before_last(share / 3),
                                      last.bytes_at_stop};
            for (size_t i = 1; i < std::size(parts); ++i)
                if (less(parts[i], parts[i - 1]) < late / 6) return true;
            return false;
        };
        return is_level_for(grows_in_large_steps(grown) ? kLevelWorkOfSteps : kLevelWork);
    }
    [[nodiscard]] bool grows_in_large_steps(double grown) const
    {
        double largest = 0;
        for (size_t i = 1; i < site_.size(); ++i)
            largest = std::max(largest, less(site_[i].live_bytes, site_[i - 1].live_bytes));
        return largest >= kLargeStep * grown;
    }

    // Of the floor at the ends of the cycles: it rises often enough, and still does.
    [[nodiscard]] bool is_ratchet() const
    {
        const auto& cycles = growth_.cycles;
        if (cycles.size() < kRatchetCycles) return false;
        const double mean = left() / static_cast<double>(cycles.size());
        const double least = std::max(mean / 4, static_cast<double>(rules_.material_bytes) / 4);
        size_t rises = 0, last_rise = 0;
        auto before = static_cast<double>(growth_.bytes_before);
        for (size_t i = 0; i < cycles.size(); ++i) {
            const int64_t valley = between(cycles[i].load_stop_ns, cycles[i].idle_to_ns, 1 - kValleyShare);
            const auto floor = static_cast<double>(least_in(site_, valley, cycles.back().idle_to_ns));
            if (floor - before >= least) {
                ++rises;
                last_rise = i;
            }
            before = std::max(before, floor);
        }
        return rises >= kRatchetCycles && 2 * rises >= cycles.size() && last_rise + 2 >= cycles.size();
    }

    void say_slope()
    {
        uint64_t events = 0;
        int64_t time_ns = 0;
        const auto add = [&](int64_t from, int64_t to) {
            events += allocations_in(all_, from, to);
            time_ns += to - from;
        };
        if (growth_.verdict == GrowthVerdict::climbing)
            add(endless_load(phases_)->from_ns, endless_load(phases_)->to_ns);
        else
            for_each_load(add);
        const double grown = left();
        const bool by_trend = growth_.verdict == GrowthVerdict::growing || growth_.verdict == GrowthVerdict::climbing;
        growth_.slope_bytes_per_s = by_trend ? growth_.trend->trend.slope : time_ns == 0 ? 0 : grown / seconds(time_ns);
        if (events != 0) growth_.slope_bytes_per_load_event = grown / static_cast<double>(events);
    }

    const Curve& site_;
    const Curve& work_;
    const Curve& all_;
    std::span<const Phase> phases_;
    const GrowthRules& rules_;
    SiteGrowth growth_;
};

} // namespace

std::vector<GrowthCycle> cycles_of(std::span<const Phase> phases)
{
    std::vector<GrowthCycle> cycles;
    for (size_t i = 0; i + 1 < phases.size(); ++i)
        if (phases[i].kind == PhaseKind::load && phases[i + 1].kind == PhaseKind::idle)
            cycles.push_back({.load_from_ns = phases[i].from_ns,
                              .load_stop_ns = phases[i].to_ns,
                              .idle_to_ns = phases[i + 1].to_ns});
    return cycles;
}

const Phase* endless_load(std::span<const Phase> phases)
{
    for (size_t i = phases.size(); i-- > 0;)
        if (phases[i].kind != PhaseKind::exit) return phases[i].kind == PhaseKind::load ? &phases[i] : nullptr;
    return nullptr;
}

std::optional<SiteGrowth> judge_growth(const Curve& site, const Curve& work, const Curve& all,
                                       std::span<const Phase> phases, const GrowthRules& rules)
{
    return Judge(site, work, all, phases, rules).verdict();
}

} // namespace leak::analyzer
