#include "analyzer/report/suppressions.hpp"

#include "analyzer/user_error.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace leak::analyzer {
namespace {

std::string_view trimmed(std::string_view text)
{
    const size_t first = text.find_first_not_of(" \t\r");
    return first == std::string_view::npos ? std::string_view{}
                                           : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::vector<std::string> split_at_stars(std::string_view text)
{
    std::vector<std::string> parts(1);
    for (const char letter : text) {
        if (letter == '*') {
            parts.emplace_back();
        } else {
            parts.back() += letter;
        }
    }
    return parts;
}

} // namespace

Suppressions::Suppressions(bool built_in) : built_in_(built_in)
{
    for (size_t rule = 0; rule < kBuiltinRuleCount; ++rule) {
        built_in_counts_.push_back({std::string(name_of(static_cast<BuiltinRule>(rule))), true, 0, 0});
    }
}

void Suppressions::add_file(const std::filesystem::path& file)
{
    std::ifstream input(file);
    std::ostringstream text;
    if (!input || !(text << input.rdbuf())) {
        // An empty file sets failbit on the output: it has no lines, which is fine.
        if (!input.is_open() || text.bad()) {
            throw UserError(file.string() + ": the suppressions can't be read; check the path");
        }
    }
    add_text(text.str(), file.string());
}

void Suppressions::add_text(std::string_view text, const std::string& file)
{
    size_t number = 0;
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = trimmed(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        ++number;
        if (line.empty() || line.starts_with('#')) {
            continue;
        }
        std::string_view pattern = line.starts_with("leak:") ? line.substr(5) : std::string_view{};
        if (trimmed(pattern).empty()) {
            throw UserError(file + ": line " + std::to_string(number) + ": \"" + std::string(line) +
                            "\" is no suppression; write leak:PATTERN, or # for a comment");
        }
        Pattern parsed{.text = std::string(line), .parts = {}, .count = {std::string(line), false, 0, 0}};
        parsed.at_start = pattern.starts_with('^');
        pattern.remove_prefix(parsed.at_start ? 1 : 0);
        parsed.at_end = pattern.ends_with('$');
        pattern.remove_suffix(parsed.at_end ? 1 : 0);
        parsed.parts = split_at_stars(pattern);
        patterns_.push_back(std::move(parsed));
    }
}

// The leftmost place for each part leaves the most room for the next; only an anchored last part has no choice.
bool Suppressions::matches(const Pattern& pattern, std::string_view text)
{
    size_t at = 0;
    for (size_t i = 0; i < pattern.parts.size(); ++i) {
        const std::string& part = pattern.parts[i];
        const bool last = i + 1 == pattern.parts.size();
        if (i == 0 && pattern.at_start) {
            if (!text.starts_with(part) || (last && pattern.at_end && text.size() != part.size())) {
                return false;
            }
            at = part.size();
        } else if (last && pattern.at_end) {
            return text.size() >= at + part.size() && text.ends_with(part);
        } else {
            const size_t found = text.find(part, at);
            if (found == std::string_view::npos) {
                return false;
            }
            at = found + part.size();
        }
    }
    return true;
}

void Suppressions::look_at(const std::vector<Frame>& stack, uint64_t blocks)
{
    analyzer::look_at(context_, stack, blocks);
}

bool Suppressions::hides(const std::vector<Frame>& stack, uint64_t blocks, uint64_t bytes)
{
    SuppressedCount* count = nullptr;
    for (Pattern& pattern : patterns_) {
        const bool found = std::ranges::any_of(stack, [&](const Frame& frame) {
            return matches(pattern, frame.function) || matches(pattern, frame.file) || matches(pattern, frame.module);
        });
        if (found) {
            count = &pattern.count;
            break;
        }
    }
    if (count == nullptr && built_in_) {
        if (const auto rule = find_builtin_rule(stack, context_)) {
            count = &built_in_counts_[static_cast<size_t>(*rule)];
        }
    }
    if (count != nullptr) {
        count->blocks += blocks;
        count->bytes += bytes;
    }
    return count != nullptr;
}

std::vector<SuppressedCount> Suppressions::counts() const
{
    std::vector<SuppressedCount> used;
    const auto take = [&](const SuppressedCount& count) {
        if (count.blocks > 0) {
            used.push_back(count);
        }
    };
    std::ranges::for_each(built_in_counts_, take);
    std::ranges::for_each(patterns_, [&](const Pattern& pattern) { take(pattern.count); });
    std::ranges::stable_sort(used, std::greater{}, &SuppressedCount::bytes);
    return used;
}

} // namespace leak::analyzer
