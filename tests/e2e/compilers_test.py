"""The compiler's own processes, traced as one tree."""

import unittest

from leaktest import LeakTest

SOURCE = """
#include <map>
#include <regex>
#include <string>
#include <vector>
std::map<std::string, std::vector<std::regex>> table;
bool matches(const std::string& text)
{
    static const std::regex words("([a-z]+)[ ,;]*", std::regex::icase);
    for (auto& [name, list] : table)
        for (auto& one : list)
            if (std::regex_match(text, one)) return true;
    std::smatch found;
    return std::regex_search(text, found, words) && found.size() > 1;
}
"""


class Compiler(LeakTest):
    def test_gxx_compiles_a_regex_heavy_file(self):
        (self.folder / "heavy.cpp").write_text(SOURCE)
        command = ["g++", "-O1", "-pipe", "-c", "../heavy.cpp", "-o", "heavy.o"]
        run = self.run_both(command, timeout=300)
        plain = self.folder / "plain1/heavy.o"
        self.assertEqual((run.folder / "heavy.o").read_bytes(), plain.read_bytes(), "the object file")

        by_exe = {}
        for trace in run.traces:
            by_exe.setdefault(trace.name.split(".")[1], []).append(trace)
        for part in ("g++", "cc1plus", "as"):
            self.assertTrue([exe for exe in by_exe if exe.endswith(part) or part + "-" in exe],
                            f"a trace of {part} among {sorted(by_exe)}")

        (trace,) = by_exe["cc1plus"]
        report = self.report(trace, timeout=280)
        self.assertEqual(report.summary["unmatched_releases"], 0)
        self.assertEqual(report.trace["gap_events"], 0)
        self.assertGreater(report.summary["allocations"], 100000)
        self.assertGreater(report.summary["unfreed_blocks"], 100)
        functions = {frame for site in report.sites for frame in site.frames}
        self.assertTrue(any("xmalloc" in name or "xcalloc" in name or "htab" in name or "ggc_" in name
                            for name in functions), sorted(functions)[:50])


if __name__ == "__main__":
    unittest.main()
