"""Stacks are exact: LEAK_UNWIND=verify compares every one with libunwind's, on hard cases and on real programs."""

import json
import os
import shutil
import subprocess
import unittest
from pathlib import Path

from leaktest import BUILD, LIBLEAK, LeakTest

SOURCE = """#include <map>
#include <regex>
#include <string>
std::map<std::string, int> counts;
bool count(const std::string& text) { return std::regex_match(text, std::regex("[a-z]+(-[a-z]+)*")) && ++counts[text]; }
int main(int argc, char** argv) { return argc > 1 && count(argv[1]); }
"""


class Unwinding(LeakTest):
    def info(self, trace):
        return json.loads(self.leakan("info", "--format", "json", trace).stdout)["unwinding"]

    def verify(self, command, least, *, library=LIBLEAK, **options):
        """Runs the command in verify mode; the figures of all its traces, added."""
        folder = self.new_folder("verify")
        env = {**self.traced_environment(), "LEAK_UNWIND": "verify", "LD_PRELOAD": str(library),
               "LEAK_OUT": f"{folder}/%e.%p.zst", **options.pop("env", {})}
        run = self.run_plain(command, env=env, folder=folder, timeout=250, **options)
        figures = [(trace.name, self.info(trace)) for trace in sorted(folder.glob("*.zst"))]
        self.assertTrue(figures, run)
        total = {key: sum(one[key] for _, one in figures)
                 for key in ("verified_stacks", "stack_differences", "libunwind_stacks")}
        self.assertGreaterEqual(total["verified_stacks"], least, figures)
        return run, total, [one["differences"] for _, one in figures]

    def check(self, command, least, **options):
        _, total, differences = self.verify(command, least, **options)
        self.assertEqual(total["stack_differences"], 0, differences)
        return total

    # -- programs made for it --

    def test_hard_cases_in_every_kind_of_code(self):
        for variant, least in (("plain", 9000), ("fast", 9000), ("faster", 9000), ("framed", 9000), ("linked", 9000)):
            with self.subTest(variant):
                run, total, differences = self.verify([self.host("unwinding_" + variant)], least)
                self.assertEqual((run.status, run.stdout), (0, b"done\n"))
                self.assertEqual(total["stack_differences"], 0, differences)

    def test_our_own_walk_does_the_work(self):
        for variant in ("plain", "fast"):
            total = self.check([self.host("unwinding_" + variant)], 9000)
            # Only what a signal handler allocates is for libunwind.
            self.assertLess(total["libunwind_stacks"], 1000, variant)

    def test_plugins_that_come_back_at_the_same_address(self):
        plugin = [str(self.host("plugin_red.so")), str(self.host("plugin_sky.so"))]
        self.check([self.host("plugin_host"), "in_turn", *plugin], 40)

    def test_without_frame_information_a_stack_is_cut_and_marked(self):
        run = self.run_both([self.host("no_cfi_host")])
        report = self.report_of(run)
        self.assert_left(report, "inside", 1000, 10000, "malloc")
        for site in report.sites_of("inside"):
            self.assertEqual(site.frames[0].split("::")[-1], "inside", site.frames)
        self.assertGreaterEqual(report.summary["truncated_blocks"], 1000)
        self.assertEqual(report.left("main")[1] % 1000, 77)

    def test_the_first_stack_for_libunwind_behind_many_pthread_keys(self):
        """Glibc would allocate for a key of libunwind's that is not among the first 32."""
        run = self.run_both([self.host("no_cfi_host"), "40"])
        report = self.report_of(run)
        self.assert_left(report, "inside", 1001, 10010, "malloc")
        self.assertEqual(report.trace["gap_events"], 0)
        self.assertLessEqual(report.summary["allocations"], 1001 + 1 + 4)  # of thread and standard output

    def test_frame_information_that_only_the_file_has(self):
        """Code with .debug_frame alone, in the program itself and in a library."""
        for name in "debug_frame_host", "debug_frame_shared_host":
            run = self.run_both([self.host(name)])
            report = self.report_of(run)
            site, = report.sites_of("inside")
            self.assertEqual([frame.split("::")[-1] for frame in site.frames[:3]],
                             ["inside", "call_without_cfi", "main"], name)
            self.assertEqual((site.blocks, site.bytes), (1000, 10000), name)
            self.assertEqual(report.summary["truncated_blocks"], 0, name)
            self.assertEqual(self.info(run.traces[0])["libunwind_stacks"], 0, name)

    def test_frame_information_of_another_file_is_not_used(self):
        """The library's file is replaced after it was loaded: by the same, and by one that is not."""
        library = Path(self.host("libdebug_frame_shared.so")).read_bytes()
        another = library[:15] + b"?" + library[16:]  # in the padding of the ELF header
        for content, truncated in ((library, 0), (another, 1000)):
            folder = self.new_folder("replaced")
            (folder / "libdebug_frame_shared.so").write_bytes(library)
            (folder / "new").write_bytes(content)
            program = Path(shutil.copy(self.host("debug_frame_shared_host"), folder))
            run = self.run_traced([program, "new", "libdebug_frame_shared.so"], folder=folder,
                                  env={"LD_LIBRARY_PATH": str(folder)})
            self.assertEqual((run.status, run.stdout), (0, b"done\n"), run.stderr)
            self.assertEqual(self.report_of(run).summary["truncated_blocks"], truncated)

    def test_frame_pointers(self):
        run = self.run_both([self.host("unwinding_framed")], env={"LEAK_UNWIND": "fp"})
        report = self.report_of(run)
        self.assertEqual(report.summary["unmatched_releases"], 0)
        self.assertTrue(report.sites_of("block_of"))

    def test_libunwind_alone(self):
        run = self.run_both([self.host("unwinding_fast")], env={"LEAK_UNWIND": "libunwind"})
        own = self.run_both([self.host("unwinding_fast")])
        stacks = [sorted((tuple(site.frames), site.blocks, site.bytes) for site in self.report_of(one).sites)
                  for one in (run, own)]
        self.assertEqual(*stacks)

    def test_negative_control(self):
        """Without the check of remembered frames stacks are wrong: a test that does not see it is worth nothing."""
        library = Path(BUILD) / "tests" / "hosts" / "libleak_unverified.so"
        source = self.folder / "source.cpp"
        source.write_text(SOURCE)
        _, total, differences = self.verify(["g++", "-O1", "-c", source, "-o", "/dev/null"], 100000, library=library)
        self.assertGreater(total["stack_differences"], 0)
        first = next(found[0] for found in differences if found)
        self.assertNotEqual(first["walked"], first["libunwind"])

    # -- programs made by others --

    def test_the_compiler_the_assembler_and_the_linker(self):
        source = self.folder / "source.cpp"
        source.write_text(SOURCE)
        self.check(["g++", "-O1", source, "-o", self.folder / "program"], 1000000)

    def test_interpreters_and_tools(self):
        script = "import json; t = json.dumps([{str(i): [i, str(i)]} for i in range(3000)]); json.loads(t)"
        sql = ("CREATE TABLE t(a, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
               "INSERT INTO t SELECT i, hex(i * 7919) FROM n; CREATE INDEX i ON t(b); SELECT count(*) FROM t;")
        repository = self.folder / "repository"
        git = (f"git init -q {repository} && cd {repository} && for i in 1 2 3 4 5; do seq $i 500 > f$i; git add .; "
               "git -c user.name=a -c user.email=a@example.org commit -qm $i; done; git log --stat -p; git gc -q")
        (self.folder / "cmake.txt").write_text("foreach(i RANGE 2000)\n  list(APPEND all item${i})\nendforeach()\n")
        commands = [(["/usr/bin/python3", "-c", script], {"PYTHONMALLOC": "malloc"}, 50000),
                    (["perl", "-e", "$h{$_} = [1 .. 9] for 1 .. 2000; print join ',', sort keys %h"], {}, 5000),
                    (["sqlite3", ":memory:", sql], {}, 20000),
                    (["/bin/sh", "-c", git], {"HOME": str(self.folder)}, 5000),
                    (["gdb", "-q", "-batch", "-ex", "info functions main", "/bin/true"], {}, 1000),
                    (["cmake", "-P", self.folder / "cmake.txt"], {}, 5000),
                    (["node", "-e", "let s = 0; for (let i = 0; i < 1e6; ++i) s += `${i}`.length; console.log(s)"], {},
                     0)]
        for command, env, least in commands:
            with self.subTest(command[0]):
                if shutil.which(command[0]) is None:
                    continue
                total = self.check(command, least, env=env)
                if command[0] == "node":  # most of its stacks lead through code that was made at run time
                    self.assertGreater(total["libunwind_stacks"], 1000)
