// Where libleak.so is: beside this build, or where both were installed.
//
// One thread.
#pragma once

#include <filesystem>

namespace leak::analyzer {

// LEAKAN_LIBRARY, the build tree of this executable, or the installation's library directory. Throws UserError when
// there is none, or when its path can't be written into LD_PRELOAD (a space or a colon).
[[nodiscard]] std::filesystem::path find_library();

} // namespace leak::analyzer
