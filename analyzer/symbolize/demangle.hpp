// Readable names from linkage names: C++ (Itanium) and Rust (legacy and v0).
//
// Pure functions, any thread; they allocate.
#pragma once

#include <string>
#include <string_view>

namespace leak::analyzer {

// The qualified name without parameter list, return type and clone suffix, the defaults of std's templates left out:
// "std::vector<Session>::push_back". A name that is not mangled comes back as it is.
[[nodiscard]] std::string demangle(const char* linkage_name);

// Leaves out of an already demangled name what every reader knows: ", std::allocator<T>", "std::__cxx11::",
// std::basic_string<char> for std::string. The same name always gives the same result.
[[nodiscard]] std::string simplify_name(std::string_view name);

} // namespace leak::analyzer
