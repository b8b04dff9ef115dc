"""Programs on another allocator: preloaded behind libleak.so, or linked in. The same results to the block."""

import os

from leaktest import HOSTS, LeakTest, find_library

ALLOCATORS = {
    "jemalloc": find_library("libjemalloc.so.2"),
    "tcmalloc": find_library("libtcmalloc.so.4", "libtcmalloc_minimal.so.4"),
    "mimalloc": find_library("libmimalloc.so.2", "libmimalloc.so.2.0", "libmimalloc.so"),
}


class Allocators(LeakTest):
    def preloaded(self, allocator):
        path = ALLOCATORS[allocator]
        if path is None:
            self.skipTest(f"{allocator} is not installed")
        env = {"LD_PRELOAD": path}

        report = self.report_of(self.run_both([self.host("alloc_functions"), "-"], env=env))
        for function, bytes in (("by_malloc", 101), ("by_calloc", 102), ("by_realloc", 103), ("by_posix_memalign", 105),
                                ("by_aligned_alloc", 192), ("by_memalign", 107), ("by_valloc", 108), ("by_strdup", 13)):
            self.assert_left(report, function, 1, bytes)
        self.assert_left(report, "by_reallocarray", 1, 104)
        self.assertEqual(report.summary["unmatched_releases"], 0)

        report = self.report_of(self.run_both([self.host("new_forms"), "-"], env=env))
        for function, bytes in (("by_new", 201), ("by_new_nothrow", 202), ("by_new_array", 203),
                                ("by_new_array_nothrow", 204), ("by_new_aligned", 205),
                                ("by_new_aligned_nothrow", 206), ("by_new_array_aligned", 207),
                                ("by_new_array_aligned_nothrow", 208)):
            self.assert_left(report, function, 1, bytes)
        self.assert_left(report, "by_new", 1, 201, "new")
        self.assert_left(report, "by_new_array", 1, 203, "new[]")
        self.assertEqual(report.summary["mismatches"], 0)
        self.assertEqual(report.summary["unmatched_releases"], 0)

        report = self.report_of(self.run_both([self.host("new_link")], env=env))
        self.assert_left(report, "leak_by_aligned_new", 1, 114)
        self.assert_left(report, "leak_by_new", 1, 112, "new")
        self.assertEqual(report.summary["mismatches"], 0)

        report = self.report_of(self.run_both([self.host("handoff"), "3000"], env=env))
        self.assert_left(report, "make_block", 0, 0)
        self.assert_left(report, "remake_block", 0, 0)
        self.assertEqual(report.summary["unmatched_releases"], 0)

        report = self.report_of(self.run_both([self.host("tls_destructors")], env=env))
        self.assert_left(report, "leak_in_key_destructor", 20, 900)
        self.assertEqual(report.summary["unmatched_releases"], 0)

        run = self.run_both([self.host("fork_threaded")], env=env, timeout=60)
        self.assertEqual(run.stdout, b"60 of 60 children came back\n")

    def linked(self, allocator):
        host = HOSTS / f"new_link_{allocator}"
        if not host.exists():
            self.skipTest(f"{allocator} was not there when the hosts were built")
        report = self.report_of(self.run_both([str(host)]))
        self.assert_left(report, "leak_by_malloc", 1, 111, "malloc")
        self.assert_left(report, "leak_by_aligned_new", 1, 114)
        self.assert_left(report, "leak_by_new", 1, 112, "new")
        self.assert_left(report, "leak_by_aligned", 1, 113, "posix_memalign")
        self.assert_left(report, "churn", 0, 0)
        self.assertEqual(report.summary["unmatched_releases"], 0)
        self.assertEqual(report.summary["mismatches"], 0)
        # The allocator really is the other one.
        maps = self.run_plain(["/usr/bin/env", "LD_TRACE_LOADED_OBJECTS=1", str(host)]).stdout.decode()
        self.assertIn(f"lib{allocator}", maps)

    def test_jemalloc_preloaded(self):
        self.preloaded("jemalloc")

    def test_tcmalloc_preloaded(self):
        self.preloaded("tcmalloc")

    def test_mimalloc_preloaded(self):
        self.preloaded("mimalloc")

    def test_jemalloc_linked(self):
        self.linked("jemalloc")

    def test_tcmalloc_linked(self):
        self.linked("tcmalloc")

    def test_mimalloc_linked(self):
        self.linked("mimalloc")

    def test_the_c_library_alone(self):
        report = self.report_of(self.run_both([self.host("new_link")]))
        self.assert_left(report, "leak_by_malloc", 1, 111, "malloc")
        self.assert_left(report, "churn", 0, 0)
        self.assert_sound(report)


assert all(path is None or os.path.exists(path) for path in ALLOCATORS.values())
