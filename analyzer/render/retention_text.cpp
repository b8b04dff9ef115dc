#include "analyzer/render/retention_text.hpp"

#include "analyzer/render/heading.hpp"
#include "analyzer/render/retention_words.hpp"
#include "analyzer/render/run_words.hpp"
#include "analyzer/render/words.hpp"

#include <algorithm>
#include <string>

namespace leak::analyzer {

namespace {

constexpr size_t kSitesInReport = 5;
constexpr size_t kStackLines = 5;
constexpr std::string_view kIndent = "            ";

[[nodiscard]] std::string padded(std::string_view text, size_t width)
{
    return std::string(text) + std::string(text.size() < width ? width - text.size() : 1, ' ');
}

[[nodiscard]] std::string age_words(const RetentionSite& site)
{
    const RetentionEvidence& evidence = site.evidence;
    if (evidence.oldest_ns == evidence.youngest_ns) return "at " + time_words(evidence.oldest_ns);
    return "from " + time_words(evidence.oldest_ns) + " to " + time_words(evidence.youngest_ns);
}

void write_site(std::ostream& out, const RetentionSite& site, const RetentionReport& report, const TextStyle& style)
{
    StackStyle brief = stack_style(style, report.info);
    brief.indent = kIndent;
    brief.max_lines = kStackLines;
    const std::string wasted = site.wasted_bytes == 0 ? "?" : bytes_words(site.wasted_bytes);
    out << "  " << style.paint.bold(padded(name_of(site.pattern), 10)) << style.paint.bad(padded(wasted, 12))
        << waste_words(site) << ", allocated " << age_words(site) << '\n';
    write_stack(out, site.frames, brief);
    for (const KeptBy& kept : site.kept_by) out << kIndent << "kept by  " << kept_by_words(kept, brief) << '\n';
    out << kIndent << style.paint.dim(advice(site)) << '\n';
}

void write_sites(std::ostream& out, const RetentionReport& report, const TextStyle& style, size_t most)
{
    if (report.sites.empty()) return;
    const size_t shown = std::min(report.sites.size(), most);
    out << heading(style.paint, "RETENTION of large blocks", shown, report.sites.size(), "stack");
    for (size_t i = 0; i < shown; ++i) write_site(out, report.sites[i], report, style);
}

} // namespace

void write_retention_text(std::ostream& out, const RetentionReport& report, const TextStyle& style)
{
    out << run_words(report.info) << ": " << retention_sentence(report) << ".\n";
    write_sites(out, report, style, style.top);
    std::vector<std::string> missing = missing_words(report.info);
    std::ranges::move(retention_limits(report), std::back_inserter(missing));
    if (!missing.empty()) out << '\n' << style.paint.bold("MISSING") << '\n';
    for (const std::string& sentence : missing) out << "     " << style.paint.warn(sentence) << '\n';
}

void write_retention_section(std::ostream& out, const RetentionReport& report, const TextStyle& style)
{
    write_sites(out, report, style, std::min(style.top, kSitesInReport));
    if (report.sites.size() > kSitesInReport) out << "  " << style.paint.dim("More: leakan retention.") << '\n';
}

} // namespace leak::analyzer
