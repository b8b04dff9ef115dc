#include "analyzer/replay/core_memory.hpp"

#include "analyzer/decode/core_areas.hpp"
#include "analyzer/decode/core_image.hpp"
#include "analyzer/decode/core_module.hpp"
#include "analyzer/user_error.hpp"

#include <algorithm>
#include <array>
#include <csignal>

namespace leak::analyzer {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kEnd = INT64_MAX / 4; // of the trace, whenever that is

// signal(7): those whose default is a core.
[[nodiscard]] bool is_of_crash(uint32_t signal)
{
    constexpr std::array kSignals{SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS};
    return std::ranges::find(kSignals, static_cast<int>(signal)) != kSignals.end();
}

[[nodiscard]] std::string process_words(uint32_t pid, std::string_view name)
{
    return "process " + std::to_string(pid) + " (" + std::string(name) + ")";
}

} // namespace

CoreMemory::CoreMemory(const CoreSource& source, const TraceContents& trace)
    : trace_(trace), core_(open_core(source.path))
{
    facts_.path = core_.file.path();
    facts_.signal = core_.signal;
    facts_.is_damaged = core_.notes_are_cut || core_.odd_segments > 0;
    facts_.knows_files = !core_.mappings.empty();
    compare_process();
    find_moment(source);
    compare_modules();
}

void CoreMemory::compare_process() const
{
    const TraceInfo& info = trace_.info;
    if (core_.pid == 0 || core_.pid == info.pid) return;
    throw UserError(core_.file.path(), 0,
                    "this is the core of " + process_words(core_.pid, core_.command) + ", but the trace " + info.path +
                        " is of " + process_words(info.pid, info.exe) +
                        "; name the core of that process (one that was made from outside of its container has another "
                        "number: make it inside)");
}

// A process that crashes is at its end. Otherwise it stands still while its core is written, so that the end of that
// will do.
void CoreMemory::find_moment(const CoreSource& source)
{
    const TraceInfo& info = trace_.info;
    if (source.at_ns) {
        at_ns_ = *source.at_ns;
        return;
    }
    if (core_.is_by_kernel && is_of_crash(core_.signal)) {
        at_ns_ = kEnd;
        return;
    }
    if (core_.written_unix_ns < info.start_unix_ns)
        throw UserError(core_.file.path(), 0,
                        "the core file was last written before the trace " + info.path +
                            " began; name the core of that run, or say by --core-at when it was written");
    at_ns_ = static_cast<int64_t>(std::min<uint64_t>(core_.written_unix_ns - info.start_unix_ns, kEnd - 1));
    const bool has_ended = info.end_state != format::EndState::open && !info.still_running;
    facts_.is_late = has_ended && at_ns_ > info.ended_ns + kSecond;
}

// Where a module lies is as good as its name: the kernel chooses it anew for each process.
void CoreMemory::compare_modules()
{
    if (!facts_.knows_files) return;
    bool has_any = false;
    bool is_other_program = false;
    for (const Module& module : trace_.modules) {
        const bool is_there = module.loaded_ns <= at_ns_ && (!module.unloaded_ns || *module.unloaded_ns > at_ns_);
        if (!is_there || !module.path.starts_with('/')) continue; // the kernel's own is no file
        if (has_module(core_, module)) {
            has_any = true;
            continue;
        }
        facts_.other_modules.push_back(module.path);
        is_other_program = is_other_program || module.path == trace_.info.exe;
    }
    if (!is_other_program && (has_any || facts_.other_modules.empty())) return;
    throw UserError(core_.file.path(), 0,
                    "this is the core of another run or build than that of the trace " + trace_.info.path + ": " +
                        (is_other_program ? trace_.info.exe : facts_.other_modules.front()) +
                        " is not where it was; name the core of that run");
}

MemoryView CoreMemory::begin() const
{
    MemoryView memory;
    memory.image.stamp = trace_.clock.to_stamp(at_ns_);
    memory.at_ns = at_ns_;
    memory.events_are_known = !trace_.carried || trace_.carried->stamp <= memory.image.stamp;
    memory.core = facts_;
    return memory;
}

void CoreMemory::read(MemoryView& memory, int64_t end_ns, const std::function<void(double)>& on_progress) const
{
    const uint64_t stamp = memory.image.stamp;
    CoreAreas areas = find_core_areas(
        core_, {.trace_path = trace_.info.path, .modules = trace_.modules, .threads = trace_.threads, .at_ns = at_ns_});
    std::vector<AddressRange> outside;
    for (const LiveBlock& block : memory.blocks) {
        if (block.blocks != 1 || block.address + block.bytes < block.address || areas.has(block.address)) continue;
        outside.push_back({block.address, block.address + std::max<uint64_t>(block.bytes, 1)});
        ++memory.core->blocks_outside;
        memory.core->bytes_outside += block.bytes;
    }
    memory.image = read_core_image(core_, std::move(areas), outside, on_progress);
    memory.image.stamp = stamp;
    memory.at_ns = at_ns_ == kEnd ? end_ns : at_ns_;
    memory.core->missing_bytes = memory.image.figure(format::SnapshotFigure::skipped_bytes);
}

} // namespace leak::analyzer
