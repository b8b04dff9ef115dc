#include "analyzer/render/info_json.hpp"

namespace leak::analyzer {
namespace {

Json optional_json(const std::optional<int64_t>& value)
{
    return value ? Json(*value) : Json();
}

Json process_json(const TraceInfo& info)
{
    Json paused = Json::array();
    for (const auto& [from, to] : info.paused) {
        paused.push_back({{"from_ns", from}, {"to_ns", to}});
    }
    return {{"parent_pid", info.parent_pid},       {"parent_trace", info.parent_trace_path},
            {"parent_found", info.parent_found},   {"fork_ns", optional_json(info.fork_ns)},
            {"exec_path", info.exec_path},         {"working_directory", info.working_directory},
            {"settings", info.settings},           {"depth_limit", info.depth_limit},
            {"writer_cpu_ns", info.writer_cpu_ns}, {"marks", marks_json(info)},
            {"paused", std::move(paused)}};
}

Json module_json(const ModuleFacts& facts)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string build_id;
    for (const uint8_t byte : facts.module.build_id) {
        build_id += digits[byte >> 4];
        build_id += digits[byte & 15];
    }
    return {{"path", facts.module.path},
            {"build_id", build_id},
            {"start", facts.module.start},
            {"end", facts.module.end},
            {"bias", facts.module.bias},
            {"loaded_ns", facts.module.loaded_ns},
            {"unloaded_ns", optional_json(facts.module.unloaded_ns)},
            {"file_found", facts.symbols.file_found},
            {"build_id_differs", facts.symbols.build_id_differs},
            {"has_symbols", facts.symbols.has_symbols},
            {"has_lines", facts.symbols.has_lines},
            {"debug_file", facts.symbols.debug_file}};
}

Json slot_json(const SlotInfo& slot)
{
    constexpr const char* kinds[] = {"free",    "start",   "raw_events", "events",  "pcs",
                                     "journal", "carried", "samples",    "snapshot"};
    const auto kind = static_cast<size_t>(slot.kind);
    return {{"offset", slot.offset},         {"kind", kind < std::size(kinds) ? kinds[kind] : "unknown"},
            {"sequence", slot.sequence},     {"owner_tid", slot.owner_tid},
            {"used_bytes", slot.used_bytes}, {"events", slot.events},
            {"sound", slot.header_sound},    {"other_trace", slot.other_trace}};
}

// The one that holds, and why the last that was tried failed.
Json snapshot_json(const TraceInfo& info)
{
    const std::string_view failure = words_of(info.snapshot_failure);
    return {{"number", info.snapshot_number},
            {"at_ns", info.snapshot_ns ? Json(*info.snapshot_ns) : Json()},
            {"failure", failure.empty() ? Json() : Json(failure)}};
}

} // namespace

Json info_json(const TraceFacts& facts)
{
    Json events = Json::object();
    for (size_t kind = 1; kind < format::kEventKindCount; ++kind) {
        events[std::string(name_of(static_cast<format::EventKind>(kind)))] = facts.totals.events_by_kind[kind];
    }
    Json threads = Json::array();
    for (const Thread& thread : facts.threads) {
        threads.push_back({{"tid", thread.tid}, {"name", thread.name}, {"started_ns", thread.started_ns}});
    }
    Json modules = Json::array();
    for (const ModuleFacts& module : facts.modules) {
        modules.push_back(module_json(module));
    }
    Json slots = Json::array();
    for (const SlotInfo& slot : facts.slots) {
        slots.push_back(slot_json(slot));
    }
    Json differences = Json::array();
    for (const DifferenceFacts& one : facts.differences) {
        differences.push_back(
            {{"at_ns", one.at_ns}, {"walked", frames_json(one.walked)}, {"libunwind", frames_json(one.libunwind)}});
    }
    return {{"schema", "leakan.info.v1"},
            {"trace", trace_json(facts.info)},
            {"process", process_json(facts.info)},
            {"file", Json{{"bytes", facts.info.file_bytes},
                          {"version", {facts.version_major, facts.version_minor}},
                          {"slot_bytes", facts.slot_bytes},
                          {"ring_bytes", facts.info.ring_bytes},
                          {"unused_slots", facts.unused_slots},
                          {"uncompressed_events", facts.info.uncompressed_events}}},
            {"snapshot", snapshot_json(facts.info)},
            {"events", std::move(events)},
            {"stacks", facts.totals.stacks},
            {"unwinding", Json{{"libunwind_stacks", facts.info.libunwind_stacks},
                               {"verified_stacks", facts.info.verified_stacks},
                               {"stack_differences", facts.info.stack_differences},
                               {"differences", std::move(differences)}}},
            {"threads", std::move(threads)},
            {"modules", std::move(modules)},
            {"slots", std::move(slots)}};
}

} // namespace leak::analyzer
