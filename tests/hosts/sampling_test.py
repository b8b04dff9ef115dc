"""LEAK_SAMPLE: a sample by bytes, and what it says of all."""

import math

from leaktest import LeakTest

PERIOD = 64 << 10


def bounds(blocks, size, period=PERIOD):
    """(least, most) estimated blocks of so many, at six standard deviations."""
    chance = 1 - math.exp(-size / period)
    deviation = math.sqrt(blocks * (1 - chance) / chance)
    return blocks - 6 * deviation - 1, blocks + 6 * deviation + 1


class Sampling(LeakTest):
    def assert_estimate(self, estimated, blocks, size, bytes=None):
        least, most = bounds(blocks, size)
        self.assertGreaterEqual(estimated, least)
        self.assertLessEqual(estimated, most)
        if bytes is not None:
            self.assertAlmostEqual(bytes / size, estimated, delta=max(1, estimated / 50))

    def sampled(self, **env):
        run = self.run_traced([self.host("sampled")], env={"LEAK_SAMPLE": "64K", **env})
        self.assertEqual((run.status, run.stderr), (0, b""))
        reports = [(self.report(trace, "--stacks", "allocated"), trace) for trace in run.traces]
        (parent, trace), = [one for one in reports if not one[0].trace["end_state"] == "fast_exit"]
        return parent, trace, [one[0] for one in reports if one[0] is not parent]

    def test_estimates_are_near_the_truth(self):
        report, trace, children = self.sampled()
        self.assertEqual(report.trace["sample_bytes"], PERIOD)
        self.assertEqual(report.trace["gap_events"], 0)
        self.assertEqual(report.summary["unmatched_releases"], 0)
        self.assertEqual(report.summary["mismatches"], 0)
        for function, blocks, size in (("small_block", 100_000, 24), ("moved_block", 15_000, 6000),
                                       ("large_block", 64, 500_000)):
            self.assert_estimate(report.left(function)[0], blocks, size, report.left(function)[1])
        self.assertEqual(report.left("middle_block"), (0, 0))
        self.assertEqual(report.left("main")[0], sum(site.blocks for site in report.sites if "main" in site))
        pools = [site for site in report.sites if site.kinds == {"leak_alloc"}]
        self.assertEqual([(site.blocks, site.bytes) for site in pools], [(1, 16)])
        for function, blocks, size in (("small_block", 200_000, 24), ("middle_block", 20_000, 3000)):
            stacks = [stack for stack in report.data["stacks"]
                      if any(function in frame["function"] for frame in stack["stack"])]
            self.assert_estimate(sum(stack["allocations"] for stack in stacks), blocks, size)
        for child in children:
            self.assertEqual(child.summary["unmatched_releases"], 0)
        text = self.leakan("report", trace).stdout.decode()
        self.assertIn("leaks: about ", text)
        self.assertRegex(text, r"estimate from \d+ samples")

    def test_a_ring_that_wraps_estimates_the_same(self):
        run = self.run_traced([self.host("ring_work"), "counters", "2", "1000000", "5", "small"],
                              env={"LEAK_SAMPLE": "256", "LEAK_RING": "8M"}, timeout=300)
        self.assertEqual(run.status, 0, run.stderr)
        report = self.report_of(run)
        self.assertIsNotNone(report.trace["folded_ns"])
        self.assertEqual(report.trace["gap_events"], 0)
        self.assertEqual(report.summary["unmatched_releases"], 0)
        truth = {line.split()[0]: [int(n) for n in line.split()[1:]]
                 for line in (run.folder / "truth").read_text().splitlines()}
        allocations, releases = truth["all"]
        self.assertAlmostEqual(report.summary["allocations"] / allocations, 1, delta=0.05)
        self.assertAlmostEqual(report.summary["releases"] / releases, 1, delta=0.05)
        live = sum(truth[str(site)][0] for site in range(8))
        left = sum(report.left(f"{kind}_at<{site}>")[0] for kind in ("allocate", "move") for site in range(8))
        # Blocks of 1 to 1000 bytes, evenly: small ones are sampled seldom and count for many.
        self.assertAlmostEqual(left / live, 1, delta=0.5)

    def test_everything_is_recorded_without_it(self):
        report, _, _ = self.sampled(LEAK_SAMPLE="0")
        self.assertEqual(report.trace["sample_bytes"], 0)
        self.assertEqual(report.left("small_block"), (100_000, 2_400_000))
        self.assertEqual(report.left("moved_block"), (15_000, 90_000_000))


if __name__ == "__main__":
    import unittest
    unittest.main()
