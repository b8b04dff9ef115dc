"""Threads: every event of every thread is there and finds its partner."""

import json

from leaktest import LeakTest


class Threads(LeakTest):
    def test_eight_threads_hand_blocks_to_each_other(self):
        run = self.run_both([self.host("handoff")], timeout=150)
        report = self.report_of(run)
        for function in ("make_block", "remake_block"):
            self.assert_left(report, function, 0, 0)
        self.assert_sound(report)
        self.assertEqual(report.summary["threads"], 9)
        # Exactly the host's calls: no allocation of the thread library's comes in twice.
        blocks, reallocs = 160000, 53336
        self.assertGreaterEqual(report.summary["allocations"], blocks + reallocs)
        self.assertLessEqual(report.summary["allocations"], blocks + reallocs + 32)
        self.assertEqual(report.summary["allocations"] - report.summary["releases"],
                         report.summary["unfreed_blocks"])

    def test_the_same_with_an_inline_writer(self):
        run = self.run_traced([self.host("handoff"), "5000"], env={"LEAK_WRITER": "inline"}, timeout=150)
        self.assertEqual(run.status, 0)
        report = self.report_of(run)
        self.assert_left(report, "make_block", 0, 0)
        self.assert_left(report, "remake_block", 0, 0)
        self.assert_sound(report)

    def test_the_order_holds_at_2_8_and_64_threads(self):
        # The fewer blocks are on the way, the sooner an address is used again by another thread.
        for threads, blocks, on_the_way in ((2, 60000, 1), (2, 60000, 64), (8, 15000, 1), (8, 15000, 4), (64, 1500, 1),
                                            (64, 1500, 64)):
            with self.subTest(threads=threads, on_the_way=on_the_way):
                run = self.run_traced([self.host("handoff"), str(blocks), str(threads), str(on_the_way)], timeout=150)
                self.assertEqual(run.status, 0)
                report = self.report_of(run)
                self.assert_sound(report)
                self.assertEqual(report.summary["replaced_blocks"], 0)
                for function in ("make_block", "remake_block"):
                    self.assert_left(report, function, 0, 0)
                expected = threads * (blocks + (blocks + 2) // 3)
                self.assertLessEqual(report.summary["allocations"] - expected, 4 * threads)
                self.assertGreaterEqual(report.summary["allocations"], expected)

    def test_the_order_holds_when_a_thread_is_not_alone_any_more(self):
        for i in range(30):
            run = self.run_traced([self.host("first_alone")])
            self.assertEqual(run.status, 0)
            report = self.report_of(run)
            with self.subTest(i=i):
                self.assert_sound(report)
                self.assertEqual(report.summary["replaced_blocks"], 0)
                self.assert_left(report, "make_block", 0, 0)

    def test_the_order_holds_where_threads_meet_for_the_first_time(self):
        """Each has its MiB of memory to itself, and events there that share stamps, until the other one comes."""
        run = self.run_traced([self.host("regions")])
        self.assertEqual(run.status, 0)
        regions, own_blocks = map(int, run.stdout.split())
        report = self.report_of(run)
        self.assert_sound(report)
        self.assertEqual(report.summary["replaced_blocks"], 0)
        self.assertGreaterEqual(report.summary["allocations"], own_blocks + 3 * regions)
        for function in ("make_block", "make_again", "make_own_block"):
            self.assert_left(report, function, 0, 0)
        shared, last = 0, {}
        for line in self.leakan("dump", self.only_trace(run)).stdout.decode().splitlines()[1:]:
            time_ns, thread, kind, *_ = line.split("\t")
            shared += kind in ("malloc", "free") and last.get(thread) == time_ns
            last[thread] = time_ns
        self.assertGreater(shared, own_blocks // 4, "of two for each; fewer where the writer gets no processor")

    def test_a_peak_has_the_large_blocks_of_all_threads_and_no_more(self):
        """Those of 1 MB are mapped at first, and of the heap once the allocator has seen one go."""
        for bytes in (1_000_000, 200_000):
            for _ in range(3):
                run = self.run_traced([self.host("large_peak"), str(bytes)])
                self.assertEqual(run.status, 0)
                peak = self.report_of(run).summary["peak_bytes"]
                self.assertGreaterEqual(peak, 2 * bytes)
                self.assertLess(peak, 2 * bytes + 100_000)

    def test_the_times_of_a_thread_that_is_alone(self):
        """Its events share stamps, but none after a pause has one from before it, nor one after a mark."""
        run = self.run_traced([self.host("lone_thread")], env={"LEAK_SNAPSHOT": "off"})
        self.assertEqual(run.status, 0)
        trace = self.only_trace(run)
        began = {5000 + i: int(line) for i, line in enumerate(run.stdout.split())}
        at, kinds = {}, {"malloc": 0, "free": 0}
        shared, last = 0, None
        for line in self.leakan("dump", trace).stdout.decode().splitlines()[1:]:
            time_ns, _, kind, _, size, *_ = line.split("\t")
            kinds[kind] = kinds.get(kind, 0) + 1
            shared += time_ns == last
            last = time_ns
            if kind == "malloc" and int(size) >= 5000:
                at[int(size)] = int(time_ns)
        self.assertEqual((kinds["malloc"], kinds["free"]), (8 * 200_004,) * 2)
        self.assertGreater(shared, sum(kinds.values()) // 2)
        for size, ns in began.items():
            late_ns = (at[size] - at[5000]) - (ns - began[5000])
            self.assertLess(abs(late_ns), 100_000_000, f"{size}: {late_ns}")  # of a pause of 200 ms
        marks = json.loads(self.leakan("info", "--format", "json", trace).stdout)["trace"]["marks"]
        for i, mark in enumerate(marks):
            self.assertGreaterEqual(at[6000 + i], mark["at_ns"])
        self.assertEqual(len(marks), 8)

    def test_a_thread_pool_leaks_what_its_tasks_leak(self):
        report = self.report_of(self.run_both([self.host("thread_pool")]))
        self.assert_left(report, "leaking_task", 100, 6400, "malloc")
        self.assert_left(report, "clean_task", 0, 0)
        self.assert_left(report, "submit", 0, 0)
        self.assertEqual(report.summary["threads"], 5)
        self.assert_sound(report)

    def test_thread_local_destructors_that_release_and_allocate(self):
        report = self.report_of(self.run_both([self.host("tls_destructors")]))
        self.assert_left(report, "block_of_thread_local", 0, 0)
        self.assert_left(report, "block_of_key", 0, 0)
        self.assert_left(report, "leak_in_thread_local_destructor", 20, 20 * 44, "malloc")
        self.assert_left(report, "leak_in_key_destructor", 20, 20 * 45, "malloc")
        self.assert_left(report, "block_of_rearming_key", 20, 20 * 43, "malloc")
        self.assert_sound(report)

    def test_two_hundred_threads_end_in_every_way(self):
        report = self.report_of(self.run_both([self.host("many_threads")]))
        self.assert_left(report, "leak_in_thread", 200, 4800, "malloc")
        self.assertEqual(report.summary["threads"], 201)
        self.assert_sound(report)
        threads = [name for site in report.sites_of("leak_in_thread") for name in site.raw["threads"]]
        self.assertEqual(len(set(map(str, threads))), 200, "each leak names its own thread")

    def test_the_memory_of_threads_is_bounded_and_comes_back(self):
        threads = 100
        def resident(run):
            self.assertEqual(run.status, 0)
            return [int(kib) for kib in run.stdout.split()]
        nothing = resident(self.run_traced([self.host("thread_memory"), "0"]))
        plain = resident(self.run_plain([self.host("thread_memory"), str(threads)]))
        run = self.run_traced([self.host("thread_memory"), str(threads)])
        alive, ended = resident(run)
        self.assertLess((alive - nothing[0] - plain[0]) / threads, 192, "KiB for each live thread")
        self.assertLess(ended - nothing[1], 4096, "KiB left of threads that have ended")
        self.assert_sound(self.report_of(run))

    def test_threads_with_the_smallest_stack(self):
        report = self.report_of(self.run_both([self.host("min_stack")]))
        self.assert_left(report, "leak_on_small_stack", 11, 11 * 33, "malloc")
        self.assert_sound(report)
