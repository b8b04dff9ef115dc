#include "analyzer/render/class_words.hpp"

#include "analyzer/render/words.hpp"
#include "analyzer/report/frame_kind.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <iterator>

namespace leak::analyzer {

namespace {

constexpr BlockClass kClasses[] = {BlockClass::unreachable, BlockClass::indirect, BlockClass::interior_only,
                                   BlockClass::reachable, BlockClass::unknown};

[[nodiscard]] size_t index(BlockClass block_class)
{
    return static_cast<size_t>(block_class);
}

[[nodiscard]] uint64_t figure(const SnapshotFacts& snapshot, format::SnapshotFigure which)
{
    return snapshot.figures[static_cast<size_t>(which)];
}

[[nodiscard]] std::string spoken(BlockClass block_class)
{
    return block_class == BlockClass::interior_only ? "interior-only" : std::string(name_of(block_class));
}

} // namespace

std::string_view name_of(BlockClass block_class)
{
    constexpr std::string_view names[] = {"unreachable", "indirect", "interior_only", "reachable", "unknown"};
    return names[index(block_class)];
}

std::string_view name_of(format::SnapshotReason reason)
{
    constexpr std::string_view names[] = {"none", "exit", "fast_exit", "exec", "mark", "request", "interval"};
    return static_cast<size_t>(reason) < std::size(names) ? names[static_cast<size_t>(reason)] : "unknown";
}

std::string_view reason_of(const SnapshotFacts& snapshot)
{
    if (snapshot.core) return "core";
    return name_of(static_cast<format::SnapshotReason>(figure(snapshot, format::SnapshotFigure::reason)));
}

std::string core_words(const SnapshotFacts& snapshot)
{
    std::string words(base_name(snapshot.core->path));
    words += ", at " + time_words(snapshot.at_ns);
    const char* const signal = ::sigabbrev_np(static_cast<int>(snapshot.core->signal));
    if (signal != nullptr && snapshot.core->signal != SIGSTOP) words += std::string(", after SIG") + signal;
    return words + ", of " + plural(figure(snapshot, format::SnapshotFigure::threads), "thread", "threads");
}

std::string class_words(const Site& site)
{
    std::string words;
    size_t known = 0;
    for (const BlockClass one : kClasses) known += site.class_blocks[index(one)] > 0 ? 1 : 0;
    if (known == 0 || (known == 1 && site.class_blocks[index(BlockClass::unknown)] > 0)) return words;
    for (const BlockClass one : kClasses) {
        const uint64_t blocks = site.class_blocks[index(one)];
        if (blocks == 0) continue;
        words += (words.empty() ? "" : ", ") + (known == 1 ? "" : count_words(blocks) + " ") + spoken(one);
        if (one == BlockClass::unreachable && site.below_blocks > 0)
            words += " (+ " + bytes_words(site.below_bytes) + " in " + plural(site.below_blocks, "block", "blocks") +
                     " below)";
    }
    return words;
}

std::string verdict_words(const Grouping& unfreed)
{
    const auto bytes = [&](BlockClass one) { return unfreed.class_bytes[index(one)]; };
    const auto blocks = [&](BlockClass one) { return unfreed.class_blocks[index(one)]; };
    if (unfreed.blocks == blocks(BlockClass::unknown)) return "";
    const uint64_t lost = bytes(BlockClass::unreachable) + bytes(BlockClass::indirect);
    if (blocks(BlockClass::unreachable) + blocks(BlockClass::indirect) > 0)
        return lost == unfreed.bytes ? ", all of it unreachable" : ", " + bytes_words(lost) + " of it unreachable";
    if (blocks(BlockClass::interior_only) > 0)
        return ", " + bytes_words(bytes(BlockClass::interior_only)) + " of it known by pointers to the inside alone";
    return blocks(BlockClass::reachable) == unfreed.blocks ? ", all of it still reachable" : "";
}

std::vector<std::string> snapshot_limits(const LeakReport& report)
{
    std::vector<std::string> words;
    if (report.unfreed.blocks == 0) return words;
    const uint64_t unknown = report.unfreed.class_blocks[index(BlockClass::unknown)];
    if (!report.snapshot) {
        const std::string_view why = words_of(report.info.snapshot_failure);
        words.push_back("What of it the program could still reach is not known: there is no snapshot of its memory" +
                        (why.empty() ? std::string(".") : " (" + std::string(why) + ")."));
        return words;
    }
    const SnapshotFacts& snapshot = *report.snapshot;
    const std::string source = snapshot.core ? "core" : "snapshot";
    if (unknown > 0)
        words.push_back("The " + source + " is of " + time_words(snapshot.at_ns) + ": whether " +
                        plural(unknown, "later block", "later blocks") + " could be reached is not known.");
    if (!snapshot.events_are_known)
        words.push_back("The ring has folded what happened around the " + source + " at " + time_words(snapshot.at_ns) +
                        ": blocks that were released soon after it are not known, and what they pointed to may count "
                        "as unreachable.");
    using format::SnapshotFigure;
    if (const uint64_t skipped = figure(snapshot, SnapshotFigure::skipped_bytes); skipped > 0 && !snapshot.core)
        words.push_back("The snapshot lacks " + bytes_words(skipped) + " of memory that could not be read.");
    if (const uint64_t threads = figure(snapshot, SnapshotFigure::threads_without_registers); threads > 0)
        words.push_back("The registers of " + plural(threads, "thread", "threads") +
                        " are not known: a block to which only a register pointed counts as unreachable. "
                        "LEAK_REGISTERS=all in the traced process asks the system for them.");
    if (snapshot.core) std::ranges::move(core_limits(*snapshot.core), std::back_inserter(words));
    return words;
}

std::vector<std::string> core_limits(const CoreFacts& core)
{
    std::vector<std::string> words;
    if (core.is_damaged)
        words.push_back("The core's own lists are cut or damaged: threads or mappings may be missing.");
    if (!core.knows_files)
        words.push_back("The core does not say which files were mapped: that it is one of this run is not certain, and "
                        "memory of libleak.so may keep blocks alive.");
    if (core.missing_bytes > 0)
        words.push_back(
            "The core lacks " + bytes_words(core.missing_bytes) +
            " that it should have (it was cut, or can't be read): what only that memory points to counts as "
            "unreachable.");
    if (core.is_late)
        words.push_back("The core file is younger than the end of the process, which did not crash: its time was "
                        "changed, perhaps by copying. Say by --core-at when it was written; else what was live is not "
                        "what the core has.");
    for (const std::string& module : core.other_modules)
        words.push_back("The core does not have " + module + " where the trace has it.");
    if (core.blocks_outside > 0)
        words.push_back(plural(core.blocks_outside, "block", "blocks") + " of " + bytes_words(core.bytes_outside) +
                        " that were live lie in memory which the core does not have: what only they point to may count "
                        "as unreachable. Where they are many, it is not of the moment that is taken (--core-at), or "
                        "was told to leave memory out (core(5), coredump_filter).");
    return words;
}

} // namespace leak::analyzer
