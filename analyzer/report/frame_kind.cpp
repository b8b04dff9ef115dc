#include "analyzer/report/frame_kind.hpp"

#include <algorithm>

namespace leak::analyzer {
namespace {

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> prefixes)
{
    return std::ranges::any_of(prefixes, [&](std::string_view prefix) { return text.starts_with(prefix); });
}

bool is_system_module(std::string_view module)
{
    return starts_with_any(module, {"/lib/", "/lib32/", "/lib64/", "/libx32/", "/usr/lib/", "/usr/lib32/",
                                    "/usr/lib64/", "/usr/libx32/", "/usr/libexec/", "/nix/store/", "[vdso]"});
}

bool is_system_source(std::string_view file)
{
    return starts_with_any(file, {"/usr/include/", "/usr/lib/", "/rustc/", "/rust/deps/"}) ||
           file.find("/include/c++/") != std::string_view::npos ||
           file.find("/lib/rustlib/src/") != std::string_view::npos;
}

} // namespace

std::string_view base_name(std::string_view path)
{
    const size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool is_loader(std::string_view module)
{
    return starts_with_any(base_name(module), {"ld-linux", "ld-musl", "ld-2.", "ld.so", "ld64.so"});
}

bool is_libc(std::string_view module)
{
    return starts_with_any(base_name(module), {"libc.so", "libc-2.", "libc.musl", "libpthread.so", "libpthread-2.",
                                               "libdl.so", "libdl-2.", "librt.so", "libm.so"});
}

bool is_cxx_runtime(std::string_view module)
{
    return starts_with_any(base_name(module), {"libstdc++.so", "libc++.so", "libc++abi.so", "libgcc_s.so"});
}

bool is_standard_name(std::string_view function)
{
    return starts_with_any(function, {"std::", "__gnu_cxx::", "core::", "alloc::", "<alloc::", "<core::", "<std::",
                                      "__rust", "__rdl_", "__rg_", "hashbrown::"});
}

bool is_library_frame(const Frame& frame, std::string_view exe)
{
    if (frame.module != exe && is_system_module(frame.module)) {
        return true;
    }
    if (!frame.file.empty()) {
        return is_system_source(frame.file);
    }
    // Where there is no line table, names tell.
    return is_standard_name(frame.function) || frame.function == "_start";
}

bool is_runtime_frame(const Frame& frame)
{
    return is_libc(frame.module) || is_loader(frame.module) || is_cxx_runtime(frame.module) ||
           is_standard_name(frame.function);
}

const Frame& deciding_frame(const std::vector<Frame>& stack, std::string_view exe)
{
    const auto own = std::ranges::find_if_not(stack, [&](const Frame& frame) { return is_library_frame(frame, exe); });
    return own == stack.end() ? stack.front() : *own;
}

size_t frames_above_entry(const std::vector<Frame>& stack)
{
    // Whoever calls these is _start, by that name or stripped of it, or the main() that rustc writes.
    const auto starter = std::ranges::find_if(stack, [](const Frame& frame) {
        return (is_libc(frame.module) && frame.function.starts_with("__libc_start_")) ||
               frame.function.starts_with("std::rt::lang_start");
    });
    auto count = static_cast<size_t>(starter - stack.begin());
    while (count > 0 && (is_runtime_frame(stack[count - 1]) || stack[count - 1].function == "_start")) {
        --count;
    }
    return count == 0 ? stack.size() : count;
}

bool is_allocator_library(std::string_view path)
{
    const std::string_view name = base_name(path);
    constexpr std::string_view names[] = {"libjemalloc", "libtcmalloc", "libmimalloc", "libsnmalloc", "libhoard"};
    return std::ranges::any_of(names, [&](std::string_view one) { return name.starts_with(one); });
}

} // namespace leak::analyzer
