"""Signals: handlers that allocate are recorded, and the host's signals remain the host's."""

from leaktest import LeakTest


class Signals(LeakTest):
    def check_handler(self, mode, most_lost=0):
        run = self.run_both([self.host("signal_alloc"), mode])
        self.assertEqual(run.status, 0, run.stdout)
        in_handler, mapped = map(int, (run.folder / "truth").read_text().split())
        report = self.report_of(run)
        self.assert_left(report, "leaked_in_handler", in_handler, 52 * in_handler)
        self.assert_left(report, "made_in_handler", 0, 0)
        self.assert_left(report, "made_in_main", 0, 0)
        self.assertEqual(report.summary["unmatched_releases"], 0, report.describe())
        self.assertLessEqual(report.trace["gap_events"], most_lost)
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
        # What comes while the interrupted event changes its buffer can't be recorded; then it is counted.
        report, _, mapped, run = self.check_handler("mixed", most_lost=30)
        fields = [line.split("\t") for line in self.dump(self.only_trace(run)) if not line.startswith("#")]
        recorded = sum(line[2] in ("mmap", "munmap") and line[4] == "8192" for line in fields)
        self.assertGreater(mapped, 100, "the timer hit the allocator")
        self.assertEqual(recorded + report.trace["gap_events"], 2 * mapped)

    def test_what_a_handler_allocates_is_released_by_the_next_event(self):
        run = self.run_traced([self.host("signal_pool")])
        self.assertEqual(run.status, 0)
        report = self.report_of(run)
        self.assert_left(report, "take_block", 0, 0)
        self.assertEqual(report.summary["replaced_blocks"], 0)
        lost = report.trace["gap_events"]  # that came while a buffer was changed
        self.assertLessEqual(lost, 100)
        self.assertLessEqual(report.summary["unmatched_releases"], lost)

    def test_a_handler_on_a_small_alternate_stack(self):
        run = self.run_both([self.host("alternate_stack")], status=17)
        self.assertEqual(run.status, 17)
        report = self.report_of(run)
        self.assert_left(report, "on_user_signal", 100, 5400, "malloc")
        self.assert_left(report, "on_overflow", 1, 55, "malloc")
        self.assert_sound(report)

    def test_the_process_signals_stay_with_the_host(self):
        run = self.run_both([self.host("process_signals")])
        self.assertEqual(run.status, 0)
        self.assertIn(b"nothing else: -1\n", run.stdout)

    def test_a_handler_forks_in_the_middle_of_a_hook(self):
        for writer in ("thread", "inline"):
            run = self.run_both([self.host("fork_in_handler")], env={"LEAK_WRITER": writer})
            self.assertEqual(run.stdout, b"150 children are sound\n")
            self.assertEqual(len(run.traces), 151)
            losses = 0
            for trace in run.traces[::5]:
                report = self.report(trace)
                # What was interrupted in the parent is counted in the child.
                self.assertLessEqual(report.trace["gap_events"], 2)
                losses += report.trace["gap_events"]
                if report.left("made_in_child") == (0, 0):
                    self.assert_left(report, "made_before", 0, 0)
                    self.assert_sound(report)
                else:
                    self.assert_left(report, "made_in_child", 10, 700, "malloc")
                    self.assertLessEqual(report.left("made_before")[0], 1)
            self.assertGreater(losses, 0, "handlers came in the middle of hooks")
