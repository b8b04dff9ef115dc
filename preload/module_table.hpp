// The shared objects of the process, as the trace names them: an index for every load.
//
// All under the state lock, from slow paths (a pc seen for the first time, dlclose). Modules are found by
// _dl_find_object, which takes no lock of the loader's; see glibc's manual, "Dynamic Linker Introspection".
#pragma once

#include "preload/debug_frame.hpp"

#include <cstdint>

struct link_map;
struct dl_find_object;

namespace leak::preload {

class Journal;

struct LoadedModule {
    const link_map* map; // of the loader; nullptr: unloaded, the entry is free
    uint64_t start;
    uint64_t end;
    uint32_t index;
    bool has_looked; // for its .debug_frame
    DebugFrame debug_frame;
};

class ModuleTable {
public:
    static constexpr uint32_t kUnloaded = UINT32_MAX;

    // The index of the module that is mapped at `pc` now, entered (and written to `journal`, if not nullptr) when it is
    // new; kNoModule where there is none. check: take nothing for granted; kUnloaded where the module that is known
    // there is gone (drop_unloaded() has to come first).
    [[nodiscard]] uint32_t index_of(uint64_t pc, bool check, Journal* journal) noexcept;

    // The rule at a return address in the module, which is loaded and whose .eh_frame does not describe it; Kind::none
    // where its .debug_frame does not either. Reads the module's file when that is asked for the first time.
    [[nodiscard]] UnwindRule rule_from_file(uint32_t index, uint64_t return_address) noexcept;

    // In a forked child: another thread of the parent may have been reading a file.
    void look_again() noexcept;

    // Writes all modules to the journal of a new trace.
    void write_all(Journal& journal) noexcept;

    // Calls visit(index, begin, end) for each that is loaded. In a copy of the process, where nobody holds a lock: an
    // entry that was being made may say anything.
    template <typename Visit> void for_each(Visit&& visit) const noexcept
    {
        for (uint32_t i = 0; i < count_; ++i)
            if (modules_[i].map != nullptr) visit(modules_[i].index, modules_[i].start, modules_[i].end);
    }

    // Finds modules that are gone; calls forget(index) for each.
    template <typename Forget> void drop_unloaded(Forget&& forget) noexcept
    {
        for (uint32_t i = 0; i < count_; ++i) {
            LoadedModule& module = modules_[i];
            if (module.map == nullptr || still_loaded(module)) continue;
            leave(module);
            forget(module.index);
        }
    }

private:
    [[nodiscard]] static bool still_loaded(const LoadedModule& module) noexcept;
    [[nodiscard]] LoadedModule* enter(const dl_find_object& found) noexcept;
    static void leave(LoadedModule& module) noexcept
    {
        module.map = nullptr;
        module.debug_frame.unload();
    }

    static constexpr uint32_t kMost = 65'536; // loaded at once; 4 MiB of address space

    LoadedModule* modules_ = nullptr;
    uint32_t count_ = 0; // entries in use or free for use again
    uint32_t next_index_ = 1;
};

} // namespace leak::preload
