#include "analyzer/render/json_parts.hpp"

namespace leak::analyzer {

Json frames_json(const std::vector<Frame>& frames)
{
    Json list = Json::array();
    for (const Frame& frame : frames) {
        list.push_back({{"function", frame.function},
                        {"file", frame.file},
                        {"line", frame.line},
                        {"module", frame.module},
                        {"offset", frame.offset},
                        {"inlined", frame.inlined}});
    }
    return list;
}

Json marks_json(const TraceInfo& info)
{
    Json list = Json::array();
    for (const Mark& mark : info.marks) list.push_back({{"at_ns", mark.at_ns}, {"text", mark.text}});
    return list;
}

Json trace_json(const TraceInfo& info)
{
    constexpr const char* end_states[] = {"open", "exit", "fast_exit", "exec"};
    Json damage = Json::array();
    for (const Damage& place : info.damage) {
        damage.push_back({{"offset", place.offset}, {"what", place.what}, {"lost_events", place.lost_events}});
    }
    return {{"path", info.path},
            {"pid", info.pid},
            {"exe", info.exe},
            {"args", info.args},
            {"start_unix_ns", info.start_unix_ns},
            {"duration_ns", info.duration_ns},
            {"complete", info.complete},
            {"gap_events", info.gap_events},
            {"sample_bytes", info.sample_bytes},
            {"ring_bytes", info.ring_bytes},
            {"folded_ns", info.folded_ns ? Json(*info.folded_ns) : Json()},
            {"end_state", end_states[static_cast<size_t>(info.end_state)]},
            {"exit_status", info.exit_status ? Json(*info.exit_status) : Json()},
            {"still_running", info.still_running},
            {"unlisted",
             {{"blocks", info.unlisted.blocks},
              {"bytes", info.unlisted.bytes},
              {"max_bytes", info.unlisted.max_bytes},
              {"releases", info.unlisted.releases}}},
            {"marks", marks_json(info)},
            {"damage", damage}};
}

Json sample_json(const ProcessSample& sample)
{
    Json json = {{"at_ns", sample.at_ns}};
    for (size_t i = 0; i < std::size(kSampleFigures); ++i) {
        const auto& figure = sample.*kSampleFigures[i];
        json[kSampleFigureNames[i]] = figure ? Json(*figure) : Json();
    }
    return json;
}

Json core_json(const std::optional<CoreFacts>& core)
{
    if (!core) return {};
    return {{"path", core->path},
            {"signal", core->signal},
            {"damaged", core->is_damaged},
            {"late", core->is_late},
            {"knows_files", core->knows_files},
            {"other_modules", core->other_modules},
            {"missing_bytes", core->missing_bytes},
            {"blocks_outside", core->blocks_outside},
            {"bytes_outside", core->bytes_outside}};
}

Json summary_json(const LeakReport& report)
{
    const Totals& totals = report.totals;
    return {{"allocations", totals.allocations},
            {"releases", totals.releases},
            {"allocated_bytes", totals.allocated_bytes},
            {"unfreed_blocks", report.unfreed.blocks},
            {"unfreed_bytes", report.unfreed.bytes},
            {"peak_bytes", totals.peak_bytes},
            {"peak_ns", totals.peak_ns},
            {"temporary_allocations", totals.temporary_allocations},
            {"unmatched_releases", totals.unmatched_releases},
            {"mismatches", totals.mismatches},
            {"threads", totals.threads},
            {"stacks", totals.stacks},
            {"suppressed_blocks", report.suppressed_blocks},
            {"suppressed_bytes", report.suppressed_bytes},
            {"replaced_blocks", totals.replaced_blocks},
            {"inherited_blocks", report.inherited_blocks},
            {"inherited_bytes", report.inherited_bytes},
            {"mapped_bytes", totals.mapped_bytes},
            {"peak_mapped_bytes", totals.peak_mapped_bytes},
            {"truncated_blocks", report.unfreed.truncated_blocks}};
}

void write_json(std::ostream& out, const Json& json)
{
    out << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

void write_json_line(std::ostream& out, const Json& json)
{
    out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
}

} // namespace leak::analyzer
