// What is known of whether blocks can be reached, in words: shared by text and JSON.
//
// Pure functions, any thread.
#pragma once

#include "analyzer/report/leak_report.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace leak::analyzer {

[[nodiscard]] std::string_view name_of(BlockClass block_class);        // "unreachable", "interior_only", ...
[[nodiscard]] std::string_view name_of(format::SnapshotReason reason); // "exit", "mark", ...

// "unreachable (+ 88.0 MiB in 12 blocks below)", "3 unreachable, 2 reachable"; empty where nothing is known.
[[nodiscard]] std::string class_words(const Site& site);

// ", 1.10 MiB of it unreachable": behind the bytes that are unfreed. Empty where nothing is known.
[[nodiscard]] std::string verdict_words(const Grouping& unfreed);

// Where the classes are from: "core", or what made the process take the snapshot: "exit", "mark", ...
[[nodiscard]] std::string_view reason_of(const SnapshotFacts& snapshot);

// "core.4711, at 6 min 12 s, after SIGABRT, of 23 threads"
[[nodiscard]] std::string core_words(const SnapshotFacts& snapshot);

// What limits the answer, in sentences.
[[nodiscard]] std::vector<std::string> snapshot_limits(const LeakReport& report);

// What is wrong or missing with a core, in sentences.
[[nodiscard]] std::vector<std::string> core_limits(const CoreFacts& core);

} // namespace leak::analyzer
