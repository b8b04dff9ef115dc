"""LEAK_OVERFLOW: what a thread does that finds no free buffer."""

from leaktest import LeakTest

THREADS = 8
ROUNDS = 60_000
# The C library's own, for threads.
OTHERS = 40 * THREADS


class Overflow(LeakTest):
    def overflow(self, threads=THREADS, rounds=ROUNDS, **env):
        run = self.run_traced([self.host("overflow"), str(threads), str(rounds)], timeout=300,
                              env={"LEAK_ZSTD_LEVEL": "19", **env})
        self.assertEqual((run.status, run.stdout, run.stderr), (0, b"", b""))
        calls, slowest = map(int, (run.folder / "truth").read_text().split())
        report = self.report_of(run)
        known = report.summary["allocations"] + report.summary["releases"] + report.trace["gap_events"]
        self.assertGreaterEqual(known, calls)
        self.assertLess(known, calls + OTHERS, "recorded and lost make all")
        self.assertEqual(report.trace["damage"], [])
        return report, slowest, run

    def test_dropped_events_are_counted_and_no_thread_compresses(self):
        helping = self.overflow(LEAK_OVERFLOW="help")[1]
        for ring in ("0", "8M"):
            with self.subTest(ring=ring):
                report, slowest, run = self.overflow(LEAK_OVERFLOW="drop", LEAK_RING=ring)
                self.assertGreater(report.trace["gap_events"], 0)
                self.assertLess(slowest, helping * 3 // 4, "ns that a buffer takes to compress, about")
                self.assert_left(report, "left_behind", 1, 77)
                text = self.leakan("report", self.only_trace(run)).stdout.decode()
                self.assertIn("faster than they were compressed (LEAK_OVERFLOW=drop)", " ".join(text.split()))
                info = self.leakan("info", self.only_trace(run)).stdout.decode()
                self.assertIn("LEAK_OVERFLOW=drop", info)

    def test_threads_that_help_lose_nothing(self):
        report, _, _ = self.overflow(LEAK_OVERFLOW="help")
        self.assert_sound(report)
        self.assert_left(report, "made_and_released", 0, 0)
        self.assert_left(report, "left_behind", 1, 77)

    def test_without_a_writer_threads_help_all_the_same(self):
        report, _, _ = self.overflow(rounds=5_000, LEAK_OVERFLOW="drop", LEAK_WRITER="inline")
        self.assert_sound(report)
        self.assert_left(report, "left_behind", 1, 77)

    def test_few_events_are_not_lost(self):
        for threads in (1, 16):
            report, _, _ = self.overflow(threads=threads, rounds=20, LEAK_OVERFLOW="drop", LEAK_ZSTD_LEVEL="1")
            self.assert_left(report, "left_behind", 1, 77)
            if threads == 1:
                self.assert_sound(report)
