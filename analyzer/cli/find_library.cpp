#include "analyzer/cli/find_library.hpp"

#include "analyzer/user_error.hpp"

#include <cstdlib>
#include <vector>

namespace leak::analyzer {
namespace {

constexpr const char* kName = "libleak.so";

std::filesystem::path usable(const std::filesystem::path& library)
{
    const std::filesystem::path absolute = std::filesystem::canonical(library);
    if (absolute.string().find_first_of(" :\t\n") != std::string::npos) {
        throw UserError(absolute.string() + ": a path with a space or a colon can't be preloaded; copy " + kName +
                        " elsewhere and name it in LEAKAN_LIBRARY");
    }
    return absolute;
}

} // namespace

std::filesystem::path find_library()
{
    std::error_code ignored;
    if (const char* chosen = std::getenv("LEAKAN_LIBRARY"); chosen != nullptr && *chosen != '\0') {
        if (!std::filesystem::is_regular_file(chosen, ignored)) {
            throw UserError(std::string(chosen) + ": LEAKAN_LIBRARY names no file; unset it or correct it");
        }
        return usable(chosen);
    }
    const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
    const std::vector<std::filesystem::path> candidates = {
        here / ".." / "preload" / kName,
        here / ".." / LEAK_LIBDIR / kName,
        here / ".." / "lib" / kName,
        std::filesystem::path(LEAK_PREFIX) / LEAK_LIBDIR / kName,
    };
    for (const auto& candidate : candidates) {
        if (std::filesystem::is_regular_file(candidate, ignored)) {
            return usable(candidate);
        }
    }
    throw UserError(std::string(kName) + " is not beside leakan (" + candidates.front().lexically_normal().string() +
                    ") nor installed; name it in LEAKAN_LIBRARY");
}

} // namespace leak::analyzer
