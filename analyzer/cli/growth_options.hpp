// The options by which growth is judged: of `leakan growth`.
//
// One thread.
#pragma once

#include "analyzer/report/growth.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace leak::analyzer {

struct GrowthArguments {
    std::vector<std::string> phases; // KIND=FROM..TO
    std::string load_stop;           // empty: not said
    GrowthRules rules;
    size_t depth = 0;

    // Throws UserError where a time or a phase can't be read.
    [[nodiscard]] GrowthOptions options() const;
};

void add_growth_options(CLI::App& command, GrowthArguments& arguments);

} // namespace leak::analyzer
