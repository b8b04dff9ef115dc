"""What points to the blocks that are left: each place for a pointer, each shape, each way to end."""

import subprocess
import sys
import unittest

from class_truth import (AFTER_MARK, COMMANDS, FENCES_AFTER_MARK, TRUTH, count_by_function, counts, in_words, is_right,
                         reachable, records_of)
from leaktest import LeakTest


def may_trace_parent():
    """As the copy of a process does, which is its child."""
    seize_parent = "import ctypes, os; exit(ctypes.CDLL(None).ptrace(0x4206, os.getppid(), None, None) != 0)"
    return subprocess.run([sys.executable, "-c", seize_parent]).returncode == 0


class Classes(LeakTest):
    def traced(self, program, *arguments, status=0, env=None):
        run = self.run_both([self.host(program), *map(str, COMMANDS[program]), *arguments], status=status, env=env)
        # What comes by exec() may have a trace of its own.
        (trace,) = [trace for trace in run.traces if trace.name.startswith(f"leak.{program}")]
        report = self.report(trace)
        self.assert_sound(report)
        for site in report.sites:
            self.assertEqual(sum(site.raw["class"].values()), site.blocks, site.raw)
        return report

    def found(self, program, *arguments, **how):
        return count_by_function(program, records_of(self.traced(program, *arguments, **how)))

    def check(self, program, *arguments):
        found = self.found(program, *arguments)
        for function, truth in TRUTH[program].items():
            with self.subTest(function):
                self.assertTrue(is_right(found[function], truth),
                                f"{function}: {in_words(truth)}, found {in_words(found[function])}")

    def test_where_pointers_are(self):
        self.check("class_roots")

    def test_registers_of_all_threads(self):
        if not may_trace_parent():
            self.skipTest("the system lets no process trace its parent")
        report = self.traced("class_roots", env={"LEAK_REGISTERS": "all"})
        self.assertEqual(report.data["snapshot"]["threads_without_registers"], 0)
        found = count_by_function("class_roots", records_of(report))
        for function, truth in (TRUTH["class_roots"] | {"in_register": reachable()}).items():
            with self.subTest(function):
                self.assertTrue(is_right(found[function], truth), found[function])

    def test_how_blocks_point_to_each_other(self):
        self.check("class_blocks")

    def test_objects_of_cxx(self):
        self.check("class_cxx")

    def test_strings_of_before_cxx11(self):
        self.check("class_old_string")

    def test_registered_memory(self):
        self.check("class_registered")

    def test_programs_that_end_by_themselves(self):
        """However they do it: only exit() runs what the C library knows to run at the end."""
        for end in ("_exit", "quick_exit", "exec"):
            with self.subTest(end):
                self.check("class_blocks", end)

    def test_of_a_killed_program_the_last_mark_tells(self):
        """What was made later is unknown."""
        found = self.found("class_blocks", "kill", status=-9)
        for function, truth in TRUTH["class_blocks"].items():
            if function in AFTER_MARK:
                truth = counts(unknown=sum(truth.values()))
            elif function == "fence":
                truth = counts(reachable=truth["reachable"] - FENCES_AFTER_MARK, unknown=FENCES_AFTER_MARK)
            self.assertEqual(found[function], truth, function)

    def test_without_snapshots_nothing_is_known(self):
        found = self.found("class_blocks", env={"LEAK_SNAPSHOT": "off"})
        for function, truth in TRUTH["class_blocks"].items():
            self.assertEqual(found[function], counts(unknown=sum(truth.values())), function)


if __name__ == "__main__":
    unittest.main()
