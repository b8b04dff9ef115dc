// The environment variables LEAK_*, read once. What they mean for the user: libleak(7).
//
// No allocation. An unknown or malformed variable gives one line on standard error and its default.
#pragma once

#include "preload/text.hpp"

#include <cstdint>

namespace leak::preload {

// How stacks are taken: by our own walk, with libunwind where that can't; by libunwind alone; by frame pointers; or by
// our own walk and, to compare, by libunwind as well.
enum class UnwindMode { automatic, libunwind, frame_pointers, verify };

// Of events: only where it takes no time from the host.
enum class Compression { automatic, always, never };

inline constexpr uint64_t kLeastRingBytes = uint64_t{8} << 20;

struct Settings {
    static constexpr uint64_t kDefaultRing = UINT64_MAX; // depends on the disk
    Path output_pattern;                                 // LEAK_OUT; %e %p %t %%
    Text<1024> only;              // LEAK_ONLY: globs of executables' names, separated by commas; empty: all
    uint32_t depth = 256;         // LEAK_DEPTH: frames kept of a stack, 1..kMaxStackDepth
    uint64_t min_events = 0;      // LEAK_MIN_EVENTS
    uint64_t ring = kDefaultRing; // LEAK_RING: the most bytes of the file; 0: unbounded
    uint64_t sample = 0;          // LEAK_SAMPLE: bytes between two samples; 0: everything is recorded
    UnwindMode unwind = UnwindMode::automatic;        // LEAK_UNWIND=auto|libunwind|fp|verify
    Compression compression = Compression::automatic; // LEAK_ZSTD_LEVEL=auto|0|1..19
    int zstd_level = 1;                               // 1..19, of what is compressed
    uint32_t tick_ms = 1000;                          // LEAK_TICK: between samples in a long run; 0: none
    bool snapshots = true;                            // LEAK_SNAPSHOT=off|exit|SECONDS: off
    uint32_t snapshot_ms = 0;            // LEAK_SNAPSHOT: between two; 0: only where something asks for one
    bool all_registers = false;          // LEAK_REGISTERS=own|all
    uint64_t large = uint64_t{64} << 10; // LEAK_LARGE: from so many bytes on a block is large; for leakan
    bool children = true;                // LEAK_CHILDREN
    bool is_unwanted_child = false;      // LEAK_CHILDREN=-: see disown_children()
    bool start = true;                   // LEAK_START=on|off
    int toggle_signal = 0;               // LEAK_TOGGLE_SIGNAL; 0: none
    bool drops_overflow = false;         // LEAK_OVERFLOW=help|drop
    bool writer_thread = true;           // LEAK_WRITER=thread|inline
    bool verbose = false;                // LEAK_VERBOSE
    Path temporary_directory;            // TMPDIR
};

// From the environment the process was started with.
[[nodiscard]] bool read_settings(Settings& settings) noexcept;

// Calls visit(name_and_value) for every LEAK_ variable of that environment.
using SettingVisitor = void (*)(std::string_view name_and_value);
void for_each_setting(SettingVisitor visit) noexcept;

// LEAK_CHILDREN=0 must mean "trace me, not the programs I start", and both see the same variable. So the traced process
// changes the value in place to "-", which a program it starts takes as "not you". `environment`: the process's own.
void disown_children(char** environment) noexcept;
// The other way round, before the process replaces itself by exec.
void own_again(char** environment) noexcept;

// Whether `name` matches one of the globs in `patterns` (separated by commas; * and ? only).
[[nodiscard]] bool matches_any(std::string_view patterns, std::string_view name) noexcept;

} // namespace leak::preload
