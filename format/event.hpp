// What happened to a block: the kinds of events and what each kind carries.
//
// Used by both sides; no allocation, safe in a hook.
#pragma once

#include <cstdint>
#include <string_view>

namespace leak::format {

// The function that was called. The order is part of the format (5 bits of the op byte).
enum class EventKind : uint8_t {
    none = 0,
    malloc_ = 1,
    calloc_ = 2,
    realloc_ = 3, // the new block of a realloc
    reallocarray_ = 4,
    posix_memalign_ = 5,
    aligned_alloc_ = 6,
    memalign_ = 7,
    valloc_ = 8,
    pvalloc_ = 9,
    new_ = 10,
    new_array = 11,
    new_aligned = 12,
    new_array_aligned = 13,
    custom_alloc = 14, // leak_alloc()
    mmap_ = 15,
    mremap_ = 16, // the new range of a mremap
    free_ = 17,
    delete_ = 18,
    delete_array = 19,
    delete_aligned = 20,
    delete_array_aligned = 21,
    free_sized_ = 22,
    free_aligned_sized_ = 23,
    realloc_release = 24, // the old block of a realloc, recorded before the call
    custom_free = 25,     // leak_free()
    munmap_ = 26,
    mremap_release = 27,
    realloc_undo = 28, // the realloc failed: the block released last by this stream lives on
    unmap_undo = 29,   // the munmap or mremap failed: the range released last by this stream lives on
};
inline constexpr uint8_t kEventKindCount = 30;

[[nodiscard]] constexpr bool is_heap_allocation(EventKind kind) noexcept
{
    return kind >= EventKind::malloc_ && kind <= EventKind::custom_alloc;
}
[[nodiscard]] constexpr bool is_mapping(EventKind kind) noexcept
{
    return kind == EventKind::mmap_ || kind == EventKind::mremap_;
}
[[nodiscard]] constexpr bool is_heap_release(EventKind kind) noexcept
{
    return kind >= EventKind::free_ && kind <= EventKind::custom_free;
}
[[nodiscard]] constexpr bool is_unmapping(EventKind kind) noexcept
{
    return kind == EventKind::munmap_ || kind == EventKind::mremap_release;
}
namespace detail {
// The kinds that a function holds for, a bit each: one test instead of comparisons that a processor can't foretell.
template <typename Holds> [[nodiscard]] consteval uint32_t kinds_where(Holds holds)
{
    uint32_t kinds = 0;
    for (uint8_t kind = 0; kind < kEventKindCount; ++kind)
        if (holds(static_cast<EventKind>(kind))) kinds |= uint32_t{1} << kind;
    return kinds;
}
[[nodiscard]] constexpr bool is_among(EventKind kind, uint32_t kinds) noexcept
{
    return (kinds >> static_cast<uint8_t>(kind) & 1) != 0;
}
inline constexpr uint32_t kKnown = kinds_where([](EventKind kind) { return kind != EventKind::none; });
inline constexpr uint32_t kWithStack =
    kinds_where([](EventKind kind) { return is_heap_allocation(kind) || is_mapping(kind); });
inline constexpr uint32_t kWithSize = kWithStack | kinds_where([](EventKind kind) { return is_unmapping(kind); });
} // namespace detail

// These take any kind of 5 bits.
[[nodiscard]] constexpr bool is_known(EventKind kind) noexcept
{
    return detail::is_among(kind, detail::kKnown);
}
[[nodiscard]] constexpr bool has_stack(EventKind kind) noexcept
{
    return detail::is_among(kind, detail::kWithStack);
}
[[nodiscard]] constexpr bool has_size(EventKind kind) noexcept
{
    return detail::is_among(kind, detail::kWithSize);
}

// The name as reports, dumps and JSON print it.
[[nodiscard]] constexpr std::string_view name_of(EventKind kind) noexcept
{
    constexpr std::string_view names[kEventKindCount] = {"none",
                                                         "malloc",
                                                         "calloc",
                                                         "realloc",
                                                         "reallocarray",
                                                         "posix_memalign",
                                                         "aligned_alloc",
                                                         "memalign",
                                                         "valloc",
                                                         "pvalloc",
                                                         "new",
                                                         "new[]",
                                                         "new(align)",
                                                         "new[](align)",
                                                         "leak_alloc",
                                                         "mmap",
                                                         "mremap",
                                                         "free",
                                                         "delete",
                                                         "delete[]",
                                                         "delete(align)",
                                                         "delete[](align)",
                                                         "free_sized",
                                                         "free_aligned_sized",
                                                         "realloc_release",
                                                         "leak_free",
                                                         "munmap",
                                                         "mremap_release",
                                                         "realloc_undo",
                                                         "unmap_undo"};
    return static_cast<uint8_t>(kind) < kEventKindCount ? names[static_cast<uint8_t>(kind)] : "?";
}

// The op byte: kind in bits 0-4, flags above.
inline constexpr uint8_t kOpKindMask = 0x1f;
inline constexpr uint8_t kOpSameStack = 0x20; // the stack of the stream's previous event with a stack; no stack column
inline constexpr uint8_t kOpTruncated = 0x40; // the stack was cut at its outer end, or unwinding stopped early
inline constexpr uint8_t kOpExtra = 0x80;     // one byte in the extra column

// The extra byte of a mapping; that of an allocation is log2 of its alignment.
inline constexpr uint8_t kMapProtMask = 0x07; // PROT_READ | PROT_WRITE | PROT_EXEC
inline constexpr uint8_t kMapShared = 0x08;
inline constexpr uint8_t kMapFile = 0x10;

} // namespace leak::format
