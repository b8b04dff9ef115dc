// The one line libleak.so says when something keeps it from its work. Otherwise it is silent.
#pragma once

#include <initializer_list>
#include <string_view>

namespace leak::preload {

// Remembers which file standard error is, so that nothing is ever written into a file that the host opened as
// descriptor 2 later on. Called once, at start-up.
void remember_standard_error() noexcept;

// "libleak: " + the parts + newline, in one write, if standard error is still what it was.
void say(std::initializer_list<std::string_view> parts) noexcept;

[[nodiscard]] bool standard_error_is_terminal() noexcept;

} // namespace leak::preload
