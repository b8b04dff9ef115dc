#include "analyzer/report/builtin_suppressions.hpp"

#include "analyzer/report/frame_kind.hpp"

#include <algorithm>
#include <span>

namespace leak::analyzer {
namespace {

// glibc keeps the stacks of some ended threads (40 MiB of them), each with its table.
constexpr uint64_t kMaxHiddenThreads = 16;

using Names = std::initializer_list<std::string_view>;

bool named(const Frame& frame, Names names)
{
    return std::ranges::find(names, frame.function) != names.end();
}

// The frames of libc at the inner end: the allocation was made there on behalf of the next frame.
std::span<const Frame> inner_libc(const std::vector<Frame>& stack)
{
    const auto end = std::ranges::find_if_not(stack, [](const Frame& frame) { return is_libc(frame.module); });
    return {stack.begin(), end};
}

bool any_named(std::span<const Frame> frames, Names names)
{
    return std::ranges::any_of(frames, [&](const Frame& frame) { return named(frame, names); });
}

// Only runtime libraries from the allocation to the loader that runs their initializers. Distributions strip the
// initializers' names, so the modules have to tell. Linked statically, the pool's file does.
bool is_runtime_initializer(const std::vector<Frame>& stack)
{
    const auto outside = std::ranges::find_if_not(
        stack, [](const Frame& frame) { return is_libc(frame.module) || is_cxx_runtime(frame.module); });
    if (outside != stack.begin() && outside != stack.end() && is_loader(outside->module)) {
        return std::ranges::any_of(stack.begin(), outside,
                                   [](const Frame& frame) { return is_cxx_runtime(frame.module); });
    }
    return std::ranges::any_of(std::span(stack).first(std::min<size_t>(stack.size(), 3)), [](const Frame& frame) {
        return base_name(frame.file) == "eh_alloc.cc" || named(frame, {"_GLOBAL__sub_I_eh_alloc.cc"});
    });
}

bool is_loader_allocation(const std::vector<Frame>& stack)
{
    const std::span<const Frame> libc = inner_libc(stack);
    return libc.size() < stack.size() && is_loader(stack[libc.size()].module);
}

// The loader, on behalf of pthread_create.
bool is_thread_storage(const std::vector<Frame>& stack)
{
    const auto by_whom = std::ranges::find_if_not(
        stack, [](const Frame& frame) { return is_libc(frame.module) || is_loader(frame.module); });
    return is_loader_allocation(stack) &&
           any_named({stack.begin(), by_whom}, {"pthread_create", "__pthread_create_2_1", "allocate_stack"});
}

bool is_stream_allocation(const std::vector<Frame>& stack)
{
    return any_named(inner_libc(stack), {"fopen", "fopen64", "_IO_new_fopen", "__fopen_internal", "fdopen",
                                         "_IO_fdopen", "_IO_new_fdopen", "freopen", "freopen64", "popen",
                                         "_IO_new_popen", "tmpfile", "tmpfile64", "fopencookie", "_IO_fopencookie"});
}

// Only the standard library between the allocation and what calls main(): main() itself would be in between.
bool is_rust_start_up(const std::vector<Frame>& stack)
{
    for (const Frame& frame : stack) {
        if (frame.function.starts_with("std::rt::lang_start")) {
            return true;
        }
        if (!is_standard_name(frame.function) && !is_libc(frame.module)) {
            return false;
        }
    }
    return false;
}

bool is_standard_stream_buffer(const std::vector<Frame>& stack, bool stream_live)
{
    const std::span<const Frame> libc = inner_libc(stack);
    if (!any_named(libc, {"_IO_file_doallocate", "__GI__IO_file_doallocate"})) {
        return false;
    }
    // These know no other streams; for fwrite() and the like the buffer is stdout's when no FILE is left over.
    return !stream_live ||
           any_named(libc, {"printf", "_IO_puts", "__printf", "vprintf", "puts", "putchar", "getchar", "gets", "scanf",
                            "__printf_chk", "__vprintf_chk", "putchar_unlocked", "getchar_unlocked"});
}

} // namespace

std::string_view name_of(BuiltinRule rule)
{
    switch (rule) {
    case BuiltinRule::runtime_initializer:
        return "libstdc++ start-up";
    case BuiltinRule::loader:
        return "the loader";
    case BuiltinRule::exit_handlers:
        return "libc's list of exit handlers";
    case BuiltinRule::thread_storage:
        return "thread-local storage of threads";
    case BuiltinRule::rust_runtime:
        return "Rust start-up";
    case BuiltinRule::standard_streams:
        return "buffers of stdin and stdout";
    }
    return "";
}

std::optional<BuiltinRule> find_builtin_rule(const std::vector<Frame>& stack, const UnfreedContext& context)
{
    if (stack.empty()) {
        return std::nullopt;
    }
    if (is_runtime_initializer(stack)) {
        return BuiltinRule::runtime_initializer;
    }
    if (is_thread_storage(stack)) {
        const bool few = context.thread_storages <= kMaxHiddenThreads;
        return few ? std::optional(BuiltinRule::thread_storage) : std::nullopt;
    }
    if (is_loader_allocation(stack)) {
        return BuiltinRule::loader;
    }
    if (is_rust_start_up(stack)) {
        return BuiltinRule::rust_runtime;
    }
    if (any_named(inner_libc(stack), {"__cxa_atexit", "__new_exitfn", "__internal_atexit", "__cxa_at_quick_exit"})) {
        return BuiltinRule::exit_handlers;
    }
    if (is_standard_stream_buffer(stack, context.stream_live)) {
        return BuiltinRule::standard_streams;
    }
    return std::nullopt;
}

void look_at(UnfreedContext& context, const std::vector<Frame>& stack, uint64_t blocks)
{
    context.stream_live = context.stream_live || is_stream_allocation(stack);
    context.thread_storages += is_thread_storage(stack) ? blocks : 0;
}

} // namespace leak::analyzer
