// What a RetentionReport says, in sentences and single words: shared by text and JSON.
//
// Pure functions, any thread.
#pragma once

#include "analyzer/render/stack_text.hpp"
#include "analyzer/report/retention.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace leak::analyzer {

[[nodiscard]] std::string_view name_of(RetentionPattern pattern); // "pinned", ...
[[nodiscard]] std::string_view name_of(RootKind root);            // "global", ...

// The answer in one sentence, from its verb on: "keeps 64.0 MiB that it hardly needs, ...".
[[nodiscard]] std::string retention_sentence(const RetentionReport& report);

// "of 64.0 MiB in 1 block; pointers lead to 4.00 KiB of it".
[[nodiscard]] std::string waste_words(const RetentionSite& site);

// What to do about it.
[[nodiscard]] std::string_view advice(const RetentionSite& site);

// "global `token_cache` → node from Cache::insert src/cache.cpp:33 → +31,457,280".
[[nodiscard]] std::string kept_by_words(const KeptBy& kept, const StackStyle& style);

// What could not be known, in sentences.
[[nodiscard]] std::vector<std::string> retention_limits(const RetentionReport& report);

} // namespace leak::analyzer
