// Unusable input or arguments: thrown anywhere in the analyzer, caught in main alone, which prints it and exits with 2.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace leak::analyzer {

class UserError : public std::runtime_error {
public:
    // "what happened; what to do"
    explicit UserError(const std::string& what) : std::runtime_error(what) {}

    // "FILE: offset N: what happened; what to do"
    UserError(const std::string& file, uint64_t offset, const std::string& what)
        : std::runtime_error(file + ": offset " + std::to_string(offset) + ": " + what)
    {
    }
};

} // namespace leak::analyzer
