// Strong ids of the analyzer: an index into one table each, never a bare integer.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace leak::analyzer {

template <typename Tag> struct Id {
    uint32_t value = 0;
    friend constexpr auto operator<=>(Id, Id) = default;
};

using StackId = Id<struct StackTag>;   // node of the StackTable; 0: the empty stack
using ModuleId = Id<struct ModuleTag>; // as in the trace; 0: no module
using ThreadId = Id<struct ThreadTag>; // thread index as in the trace

} // namespace leak::analyzer

template <typename Tag> struct std::hash<leak::analyzer::Id<Tag>> {
    size_t operator()(leak::analyzer::Id<Tag> id) const noexcept { return std::hash<uint32_t>{}(id.value); }
};
