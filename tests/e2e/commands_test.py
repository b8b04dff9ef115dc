"""leakan's commands from the outside: run, report in its forms, diff, info."""

import json
import re
import subprocess
import unittest

from leaktest import BUILD, LEAKAN, LeakTest, names


class ReportForms(LeakTest):
    def setUp(self):
        super().setUp()
        self.trace = str(self.only_trace(self.run_traced([self.host("alloc_functions")])))

    def text(self, *arguments):
        return self.leakan("report", *arguments, self.trace).stdout.decode()

    def test_the_first_line_is_the_verdict(self):
        first = self.text().splitlines()[0]
        self.assertIn("alloc_functions", first)
        self.assertRegex(first, r"10 blocks|1\.\d+ KiB|1,?0\d\d bytes")

    def test_no_colours_outside_a_terminal(self):
        self.assertNotIn("\x1b", self.text())

    def test_a_program_without_leaks_gets_a_verdict_too(self):
        run = self.run_traced([self.host("mismatches")])
        text = self.leakan("report", str(self.only_trace(run))).stdout.decode()
        self.assertRegex(text.splitlines()[0], r"(?i)nothing")

    def test_the_json_has_the_keys_it_promises(self):
        report = json.loads(self.text("--format", "json"))
        self.assertEqual(report["schema"], "leakan.report.v1")
        for key in ("path", "pid", "exe", "args", "start_unix_ns", "duration_ns", "complete", "gap_events"):
            self.assertIn(key, report["trace"])
        for key in ("allocations", "releases", "allocated_bytes", "unfreed_blocks", "unfreed_bytes", "peak_bytes",
                    "peak_ns", "temporary_allocations", "unmatched_releases", "mismatches", "threads", "stacks",
                    "suppressed_blocks", "suppressed_bytes"):
            self.assertIsInstance(report["summary"][key], int, key)
        for entry in report["unfreed"]:
            for key in ("blocks", "bytes", "first_ns", "last_ns", "kinds", "threads", "stack"):
                self.assertIn(key, entry)
            for frame in entry["stack"]:
                for key in ("function", "file", "line", "module", "offset", "inlined"):
                    self.assertIn(key, frame)

    def test_the_most_bytes_come_first_and_the_order_can_be_changed(self):
        report = json.loads(self.text("--format", "json"))
        sizes = [entry["bytes"] for entry in report["unfreed"]]
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        by_age = json.loads(self.text("--format", "json", "--sort", "age"))
        times = [entry["first_ns"] for entry in by_age["unfreed"]]
        self.assertEqual(times, sorted(times))

    def test_options_narrow_the_report_but_not_its_totals(self):
        whole = json.loads(self.text("--format", "json"))
        for arguments, expected in ((["--top", "3"], 3), (["--min-bytes", "107"], 4)):
            part = json.loads(self.text("--format", "json", *arguments))
            self.assertEqual(len(part["unfreed"]), expected, arguments)
            for key, value in whole["summary"].items():
                if not key.endswith("_ns"):  # the clock of a short run is calibrated when it is read
                    self.assertEqual(part["summary"][key], value, key)

    def test_the_report_goes_to_a_file(self):
        path = self.folder / "report.json"
        done = self.leakan("report", self.trace, "--format", "json", "-o", path)
        self.assertEqual(done.stdout, b"")
        self.assertEqual(json.loads(path.read_text())["schema"], "leakan.report.v1")

    def test_groups(self):
        for by in ("stack", "function", "module", "thread", "size"):
            self.assertNotEqual(self.text("--by", by), "", by)

    def test_suppressions_hide_and_count(self):
        path = self.folder / "suppressions"
        path.write_text("# comment\nleak:by_malloc\nleak:by_*alloc\n")
        summary = json.loads(self.text("--format", "json", "--suppressions", str(path)))["summary"]
        # A pattern may match anywhere in a name: by_malloc, by_calloc, by_realloc and by_reallocarray,
        # by_aligned_alloc, by_valloc, by_pvalloc.
        self.assertEqual(summary["suppressed_blocks"], 7)
        self.assertEqual(summary["suppressed_bytes"], 101 + 102 + 103 + 104 + 192 + 108 + 109)
        self.assertEqual(summary["unfreed_blocks"], 3)

    def test_start_up_residue_of_the_cxx_library_is_hidden_and_counted(self):
        run = self.run_traced([self.host("malloc_zero")])
        trace = str(self.only_trace(run))
        hidden = json.loads(self.leakan("report", "--format", "json", trace).stdout)
        self.assertEqual((hidden["summary"]["suppressed_blocks"], hidden["summary"]["suppressed_bytes"]), (1, 72704))
        self.assertEqual(hidden["summary"]["unfreed_blocks"], 4)
        shown = self.report(trace)
        self.assertEqual(shown.summary["suppressed_blocks"], 0)
        self.assertEqual(shown.summary["unfreed_blocks"], 5)

    def test_info_and_dump(self):
        info = self.leakan("info", self.trace).stdout.decode()
        for word in ("alloc_functions", "libc.so.6", "malloc"):
            self.assertIn(word, info)
        build_id = subprocess.run(["readelf", "-n", self.host("alloc_functions")], capture_output=True,
                                  text=True).stdout
        self.assertIn(re.search(r"Build ID: ([0-9a-f]+)", build_id).group(1), info)
        self.assertGreaterEqual(len(self.dump(self.trace)), 30)


class Diff(LeakTest):
    def trace(self, rounds):
        return self.only_trace(self.run_traced([self.host("many_events"), "counters", str(rounds)]))

    def test_two_runs_at_two_addresses(self):
        before, after = self.trace(1000), self.trace(3000)
        diff = json.loads(self.leakan("diff", "--format", "json", before, after).stdout)
        self.assertEqual(diff["schema"], "leakan.diff.v1")
        (site,) = [site for site in diff["sites"]
                   if any(names(frame["function"], "leaked_now_and_then") for frame in site["stack"])]
        self.assertEqual({key: site[key] for key in ("status", "blocks_before", "blocks_after", "bytes_before",
                                                     "bytes_after")},
                         {"status": "grown", "blocks_before": 10, "blocks_after": 30, "bytes_before": 240,
                          "bytes_after": 720})
        back = json.loads(self.leakan("diff", "--format", "json", after, before).stdout)
        self.assertEqual([site["status"] for site in back["sites"]], ["shrunk"])

    def test_the_same_twice_has_no_difference(self):
        before, after = self.trace(1000), self.trace(1000)
        diff = json.loads(self.leakan("diff", "--format", "json", before, after).stdout)
        self.assertEqual([site for site in diff["sites"] if site["blocks_before"] != site["blocks_after"]], [])

    def test_new_and_gone(self):
        first = self.only_trace(self.run_traced([self.host("alloc_functions")]))
        second = self.only_trace(self.run_traced([self.host("realloc_forms")]))
        diff = json.loads(self.leakan("diff", "--format", "json", first, second).stdout)
        status = {site["status"] for site in diff["sites"]}
        self.assertEqual(status, {"new", "gone"})
        text = self.leakan("diff", "--top", 0, first, second).stdout.decode()
        self.assertIn("by_valloc", text)
        self.assertIn("survivor_of_realloc", text)


class RunThenReport(LeakTest):
    def test_what_the_readme_says(self):
        folder = self.new_folder()
        done = subprocess.run([LEAKAN, "run", "--", str(BUILD / "examples/pool")], cwd=folder, capture_output=True,
                              text=True, env=self.environment(), timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, "pool: 40 cells taken, 36 given back\n"))
        (trace,) = folder.glob("leak.pool.*.zst")
        self.assertIn("pool_take", self.leakan("report", trace).stdout.decode())


if __name__ == "__main__":
    unittest.main()
