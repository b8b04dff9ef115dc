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
    thread_storage,   // the loader's tables of thread-local storage: of running threads, and of stacks kept for reuse
    rust_runtime,     // what Rust's standard library allocates before main()
    standard_streams, // the buffers of stdin and stdout
};
inline constexpr size_t kBuiltinRuleCount = 6;

[[nodiscard]] std::string_view name_of(BuiltinRule rule);

// What else is unfreed, where a stack alone can't tell residue from leak.
struct UnfreedContext {
    bool stream_live = false;     // a FILE the program opened: a stream's buffer may be the program's leak
    uint64_t thread_storages = 0; // more than a few: threads that ended and were never joined are the program's leak
};

// The rule that hides blocks with this stack (innermost frame first).
[[nodiscard]] std::optional<BuiltinRule> find_builtin_rule(const std::vector<Frame>& stack,
                                                           const UnfreedContext& context);

// Adds `blocks` of this stack to the context.
void look_at(UnfreedContext& context, const std::vector<Frame>& stack, uint64_t blocks);

} // namespace leak::analyzer
