"""The ring: a bounded file that has wrapped says what an unbounded one says."""

import os
import pathlib

from leaktest import LeakTest

SLOT = 256 * 1024


class Ring(LeakTest):
    def work(self, threads, operations, seed, ring, **env):
        """(report, truth, file's size) of a run of ring_work."""
        env = {"LEAK_RING": ring, **env}
        run = self.run_traced([self.host("ring_work"), "counters", str(threads), str(operations), str(seed)],
                              env=env, timeout=300)
        self.assertEqual(run.status, 0, run.stdout + run.stderr)
        lines = [line.split() for line in (run.folder / "truth").read_text().splitlines()]
        truth = {name: (int(blocks), int(bytes)) for name, blocks, bytes in lines}
        trace = self.only_trace(run)
        return self.report(trace), truth, os.stat(trace).st_size, run

    def check(self, report, truth, threads):
        self.assertEqual(report.trace["gap_events"], 0)
        self.assertEqual(report.trace["damage"], [])
        self.assert_sound(report)
        for site in range(8):
            blocks = report.left(f"allocate_at<{site}>")
            moved = report.left(f"move_at<{site}>")
            self.assertEqual((blocks[0] + moved[0], blocks[1] + moved[1]), truth[str(site)], f"site {site}")
        self.assert_left(report, "early_leak", 40 * threads, 40 * sum(1000 + i for i in range(threads)), "malloc")
        allocations, releases = truth["all"]
        self.assertGreaterEqual(report.summary["allocations"], allocations)
        self.assertLess(report.summary["allocations"], allocations + 200 * threads)  # the C library's own
        self.assertEqual(report.summary["allocations"] - report.summary["releases"],
                         sum(site.blocks for site in report.sites))
        return report

    def test_a_wrapped_ring_is_exact(self):
        for threads, operations, seed, writer in ((1, 3_000_000, 1, "thread"), (4, 1_000_000, 2, "thread"),
                                                  (3, 600_000, 3, "inline")):
            with self.subTest(threads=threads, writer=writer):
                report, truth, size, run = self.work(threads, operations, seed, "8M", LEAK_WRITER=writer)
                self.check(report, truth, threads)
                self.assertLessEqual(size, 8 << 20)
                info = self.leakan("info", "--format", "json", self.only_trace(run)).stdout.decode()
                self.assertIn('"carried"', info)
