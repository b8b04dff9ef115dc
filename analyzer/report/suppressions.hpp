// Which unfreed blocks a report leaves out: the user's patterns and the built-in rules for start-up residue.
//
// One thread.
#pragma once

#include "analyzer/report/builtin_suppressions.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace leak::analyzer {

// What a rule hid.
struct SuppressedCount {
    std::string rule; // the pattern, or in words what the built-in rule hides
    bool built_in = false;
    uint64_t blocks = 0;
    uint64_t bytes = 0;
};

class Suppressions {
public:
    // With or without the built-in rules (builtin_suppressions.hpp).
    explicit Suppressions(bool built_in);

    // The syntax of LeakSanitizer's suppression files: lines "leak:PATTERN", comments with #. A pattern is found
    // anywhere in the function, file or module of any frame; ^ and $ anchor it, * stands for anything.
    // Throws UserError naming `file` and the line.
    void add_file(const std::filesystem::path& file);
    void add_text(std::string_view text, const std::string& file);

    // Tells the rules what else is live; called for every distinct stack before the first hides().
    void look_at(const std::vector<Frame>& stack, uint64_t blocks);

    // True when a rule hides blocks of this stack, which are then counted under the rule.
    bool hides(const std::vector<Frame>& stack, uint64_t blocks, uint64_t bytes);

    // The rules that hid something, most bytes first.
    [[nodiscard]] std::vector<SuppressedCount> counts() const;

private:
    struct Pattern {
        std::string text; // as the user wrote it
        bool at_start = false;
        bool at_end = false;
        std::vector<std::string> parts; // between the stars
        SuppressedCount count;
    };

    static bool matches(const Pattern& pattern, std::string_view text);

    bool built_in_;
    UnfreedContext context_;
    std::vector<Pattern> patterns_;
    std::vector<SuppressedCount> built_in_counts_;
};

} // namespace leak::analyzer
