"""How memory went over the run: the program's own live bytes, its allocator's and the kernel's figures."""

import json

from leaktest import LeakTest, names

MIB = 1 << 20


class Timeline(LeakTest):
    def timeline(self, trace, *arguments):
        return json.loads(self.leakan("timeline", "--format", "json", *arguments, trace).stdout)

    def load(self, threads=1, **env):
        run = self.run_traced([self.host("load"), str(threads)], env=env)
        self.assertEqual((run.status, run.stderr), (0, b""))
        return self.only_trace(run)

    def check_load(self, timeline, threads):
        live = [point["live_bytes"] for point in timeline["heap"]]
        self.assertGreaterEqual(max(live), 32 * MIB * threads)
        self.assertLess(max(live), 33 * MIB * threads)
        self.assertGreaterEqual(live[-1], 4 * MIB * threads)
        self.assertLess(live[-1], 5 * MIB * threads)
        curves = [stack for stack in timeline["stacks"]
                  if any(names(frame["function"], "take_for_load") for frame in stack["stack"])]
        self.assertEqual(sum(curve["peak_bytes"] for curve in curves), 32 * MIB * threads)
        self.assertEqual(sum(curve["history"][-1]["live_bytes"] for curve in curves), 4 * MIB * threads)
        for point in (point for curve in curves for point in curve["history"]):
            self.assertEqual(point["live_blocks"] * 4096, point["live_bytes"])
        times = [point["at_ns"] for point in timeline["heap"]]
        self.assertEqual(times, sorted(times))

    def test_memory_beside_live_bytes(self):
        for threads, writer in ((1, "thread"), (3, "thread"), (1, "inline")):
            with self.subTest(threads=threads, writer=writer):
                timeline = self.timeline(self.load(threads, LEAK_TICK="0.08", LEAK_WRITER=writer))
                self.check_load(timeline, threads)
                memory = timeline["memory"]
                self.assertGreater(len(memory), 4)
                rss = [sample["rss_bytes"] for sample in memory]
                self.assertGreater(max(rss) - min(rss), 20 * MIB * threads)
                self.assertGreater(max(sample["minor_faults"] for sample in memory), 8192 * threads)
                self.assertTrue(any(sample["pss_bytes"] for sample in memory))
                used = [sample["used_bytes"] for sample in memory if sample["used_bytes"] is not None]
                self.assertGreater(max(used), 20 * MIB * threads)
                self.assertLess(used[-1], 8 * MIB * threads)

    def test_samples_can_be_left_out(self):
        timeline = self.timeline(self.load(LEAK_TICK="0"))
        self.check_load(timeline, 1)
        self.assertEqual(timeline["memory"], [])

    def test_the_room_for_samples_does_not_grow(self):
        """A thousand samples and more in one second: they come less often, and the first are still there."""
        trace = self.load(2, LEAK_TICK="0.01")
        samples = self.timeline(trace)["memory"]
        self.assertGreater(len(samples), 100)
        self.assertLess(samples[0]["at_ns"], 200_000_000)
        info = json.loads(self.leakan("info", "--format", "json", trace).stdout)
        self.assertEqual([slot["kind"] for slot in info["slots"]].count("samples"), 1)

    def test_text_and_csv(self):
        trace = self.load(LEAK_TICK="0.08")
        text = self.leakan("timeline", "--columns", "40", trace).stdout.decode()
        for part in ("program holds, heap", "kernel charges, RSS", "events a second", "take_for_load", "█", "phases"):
            self.assertIn(part, text)
        lines = self.leakan("timeline", "--format", "csv", "--columns", "20", trace).stdout.decode().splitlines()
        self.assertEqual(len(lines), 201)
        columns = lines[0].split(",")
        self.assertEqual(columns[:2], ["seconds", "live_bytes"])
        live = [int(line.split(",")[1]) for line in lines[1:]]
        self.assertGreaterEqual(max(live), 32 * MIB)
        self.assertEqual({line.count(",") for line in lines}, {len(columns) - 1})
        report = self.leakan("report", trace).stdout.decode()
        self.assertRegex(report, r"allocator +holds .* \(glibc\)")
        self.assertRegex(report, r"kernel +charges .* RSS")


if __name__ == "__main__":
    import unittest
    unittest.main()
