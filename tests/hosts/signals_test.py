"""Signals: handlers that allocate are recorded, and the host's signals remain the host's."""

from leaktest import LeakTest


class Signals(LeakTest):
    def check_handler(self, mode):
        run = self.run_both([self.host("signal_alloc"), mode])
        self.assertEqual(run.status, 0, run.stdout)
        in_handler, mapped = map(int, (run.folder / "truth").read_text().split())
        report = self.report_of(run)
        self.assert_left(report, "leaked_in_handler", in_handler, 52 * in_handler)
        self.assert_left(report, "made_in_handler", 0, 0)
        self.assert_left(report, "made_in_main", 0, 0)
        self.assert_sound(report)
        return report, in_handler, mapped, run

    def test_a_handler_allocates_while_main_waits(self):
        report, in_handler, _, _ = self.check_handler("wait")
        self.assertGreaterEqual(in_handler, 1500)
        for site in report.sites_of("leaked_in_handler"):
            self.assertIn("main", site, site.frames)

    def test_a_handler_allocates_while_main_computes(self):
        report, in_handler, _, _ = self.check_handler("compute")
        self.assertGreaterEqual(in_handler, 1500)
        for site in report.sites_of("leaked_in_handler"):
            self.assertIn("main", site, site.frames)

    def test_events_interrupted_by_events(self):
        _, _, mapped, run = self.check_handler("mixed")
        lines = self.dump(self.only_trace(run))
        maps = sum("mmap" in line.split() for line in lines)
        unmaps = sum("munmap" in line.split() for line in lines)
        self.assertGreaterEqual(maps, mapped)
        self.assertGreaterEqual(unmaps, mapped)

    def test_a_handler_on_a_small_alternate_stack(self):
        run = self.run_both([self.host("alternate_stack")])
        self.assertEqual(run.status, 17)
        report = self.report_of(run)
        self.assert_left(report, "on_user_signal", 100, 5400, "malloc")
        self.assert_left(report, "on_overflow", 1, 55, "malloc")
        self.assert_sound(report)

    def test_the_process_signals_stay_with_the_host(self):
        run = self.run_both([self.host("process_signals")])
        self.assertEqual(run.status, 0)
        self.assertIn(b"nothing else: -1\n", run.stdout)
