// The built-in suppressions: memory that the C and C++ runtimes keep for themselves and no program can give back.
//
// Pure functions, any thread. A rule looks at whose code allocated, which is the inner end of the stack, never at who
// is further out: a leak in a plugin's static constructor runs below the loader too, and must be shown.
#pragma once

#include "analyzer/symbolize/symbolizer.hpp"

#include <optional>
#include <string_view>
#include <vector>

namespace leak::analyzer {

enum class BuiltinRule : uint8_t {
    runtime_initializer, // libstdc++'s emergency pool, and what else a runtime library's own initializer allocates
    loader,              // the loader's list of modules, its search paths, TLS of the first thread
    exit_handlers,       // libc's list of atexit handlers
    standard_streams,    // the buffers of stdin and stdout
};
inline constexpr size_t kBuiltinRuleCount = 4;

[[nodiscard]] std::string_view name_of(BuiltinRule rule);

// The rule that hides blocks with this stack (innermost frame first). `stream_live`: a FILE of the program's is
// unfreed too, so that a stream's buffer may be the program's leak.
[[nodiscard]] std::optional<BuiltinRule> find_builtin_rule(const std::vector<Frame>& stack, bool stream_live);

// The block is a FILE which the program opened.
[[nodiscard]] bool is_stream_allocation(const std::vector<Frame>& stack);

} // namespace leak::analyzer
