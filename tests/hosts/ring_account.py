"""A trace against the account that its program kept itself: ring_work's files "truth" and "counters"."""

from leaktest import LeakTest, read_counters

EARLY_BLOCKS = 40  # that each thread leaks first of all, of 1000 bytes and its number


def read_truth(folder):
    """{site, or "all" for allocations and releases: (blocks, bytes)} of a run that came to its end."""
    lines = [line.split() for line in (folder / "truth").read_text().splitlines()]
    return {name: (int(blocks), int(bytes)) for name, blocks, bytes in lines}


class AccountTest(LeakTest):
    def assert_nothing_missing(self, report):
        self.assertEqual(report.trace["damage"], [])
        self.assert_sound(report)
        self.assertEqual(report.summary["allocations"] - report.summary["releases"],
                         sum(site.blocks for site in report.sites))

    def assert_account(self, report, truth, threads):
        """What a run of ring_work that ended has left, to the block and byte."""
        self.assert_nothing_missing(report)
        for site in range(8):
            blocks = report.left(f"allocate_at<{site}>")
            moved = report.left(f"move_at<{site}>")
            self.assertEqual((blocks[0] + moved[0], blocks[1] + moved[1]), truth[str(site)], f"site {site}")
        for thread in range(threads):
            self.assert_left(report, f"early_leak<{thread}>", EARLY_BLOCKS, EARLY_BLOCKS * (1000 + thread), "malloc")
        allocations, _ = truth["all"]
        self.assertGreaterEqual(report.summary["allocations"], allocations)
        self.assertLess(report.summary["allocations"], allocations + 200 * threads)  # the C library's own

    def assert_killed_account(self, trace, counters, threads):
        """What a killed program says it has done is in its trace, and nothing else is but what was under way. The
        counters of thread t: [4t] allocations, [4t + 1] releases. Returns the report; None if it had done nothing."""
        done = read_counters(counters) if counters.exists() else [0]
        if sum(done) == 0:
            return None  # perhaps it was creating the trace
        self.check_trace_file(trace)
        report = self.report(trace)
        self.assert_nothing_missing(report)
        of_others = 40 + 2 * threads  # by the C library, and under way
        for what, completed in (("allocations", sum(done[0::4])), ("releases", sum(done[1::4]))):
            self.assertGreaterEqual(report.summary[what], completed)
            self.assertLessEqual(report.summary[what], completed + of_others)
        return report
