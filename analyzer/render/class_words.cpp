#include "analyzer/render/class_words.hpp"

#include "analyzer/render/words.hpp"

namespace leak::analyzer {

namespace {

constexpr BlockClass kClasses[] = {BlockClass::unreachable, BlockClass::indirect, BlockClass::interior_only,
                                   BlockClass::reachable, BlockClass::unknown};

[[nodiscard]] size_t index(BlockClass block_class)
{
    return static_cast<size_t>(block_class);
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
    if (unknown > 0)
        words.push_back("The snapshot is of " + time_words(report.snapshot->at_ns) + ": whether " +
                        plural(unknown, "later block", "later blocks") + " could be reached is not known.");
    if (!report.snapshot->events_are_known)
        words.push_back("The ring has folded what happened around the snapshot at " +
                        time_words(report.snapshot->at_ns) +
                        ": blocks that were released soon after it are not known, and what they pointed to may count "
                        "as unreachable.");
    using format::SnapshotFigure;
    const auto figure = [&](SnapshotFigure which) { return report.snapshot->figures[static_cast<size_t>(which)]; };
    if (const uint64_t skipped = figure(SnapshotFigure::skipped_bytes); skipped > 0)
        words.push_back("The snapshot lacks " + bytes_words(skipped) + " of memory that could not be read.");
    if (const uint64_t threads = figure(SnapshotFigure::threads_without_registers); threads > 0)
        words.push_back("The registers of " + plural(threads, "thread", "threads") +
                        " are not known: a block to which only a register pointed counts as unreachable. "
                        "LEAK_REGISTERS=all in the traced process asks the system for them.");
    return words;
}

} // namespace leak::analyzer
