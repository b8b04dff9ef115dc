"""LEAK_TOGGLE_SIGNAL: a signal switches recording off and on."""

import json
import signal

from leaktest import LeakTest

SIGNALS = (("USR2", signal.SIGUSR2), ("SIGUSR1", signal.SIGUSR1), ("12", 12), ("RTMIN+3", 37), ("64", 64), ("RTMAX-1", 63))


class Toggle(LeakTest):
    def toggled(self, mode, name="USR2", number=signal.SIGUSR2, stdout=b"done\n", **env):
        """A run that is compared with an untraced one, in which the signal is ignored."""
        number = int(number)
        run = self.run_both([self.host("toggled"), mode, str(number)], env={"LEAK_TOGGLE_SIGNAL": name, **env},
                            preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
        self.assertEqual((run.status, run.stdout, run.stderr), (0, stdout, b""))
        return run

    def check_steps(self, report, recorded):
        for step, bytes in (("first_step", 101), ("second_step", 102), ("third_step", 103)):
            self.assert_left(report, step, *((1, bytes) if step.split("_")[0] in recorded else (0, 0)))
        self.assert_sound(report)

    def test_every_way_to_name_a_signal(self):
        for name, number in SIGNALS:
            with self.subTest(name=name):
                run = self.toggled("steps", name, number)
                self.check_steps(self.report_of(run), ("first", "third"))
                text = self.leakan("report", self.only_trace(run)).stdout.decode()
                self.assertIn("Recording was switched off", text)

    def test_the_default_disposition_does_not_end_the_program(self):
        run = self.run_traced([self.host("toggled"), "steps", "12"], env={"LEAK_TOGGLE_SIGNAL": "USR2"})
        self.assertEqual((run.status, run.stdout, run.stderr), (0, b"done\n", b""))
        self.check_steps(self.report_of(run), ("first", "third"))

    def test_the_first_signal_switches_on_what_starts_off(self):
        for writer in ("thread", "inline"):
            run = self.toggled("steps", LEAK_START="off", LEAK_WRITER=writer)
            self.check_steps(self.report_of(run), ("second",))

    def test_a_handler_of_the_program_takes_over(self):
        run = self.toggled("own", stdout=b"own 1\ndone\n")
        self.check_steps(self.report_of(run), ("first", "second"))

    def test_children_and_what_replaces_the_program_react_too(self):
        for mode in ("fork", "exec"):
            with self.subTest(mode=mode):
                run = self.run_both([self.host("toggled"), mode, "12"], env={"LEAK_TOGGLE_SIGNAL": "USR2"},
                                    preexec_fn=lambda: signal.signal(12, signal.SIG_IGN))
                reports = [self.report(trace) for trace in run.traces]
                reports = [report for report in reports if report.left("first_step") == (1, 101)]
                self.assertEqual(len(reports), 1)
                self.check_steps(reports[0], ("first", "third"))

    def test_thousands_of_signals_while_threads_allocate(self):
        for start, writer in (("on", "thread"), ("off", "thread"), ("on", "inline"), ("off", "inline")):
            with self.subTest(start=start, writer=writer):
                run = self.toggled("storm", "RTMIN+2", 36, LEAK_START=start, LEAK_WRITER=writer)
                report = self.report_of(run)
                for step, bytes in (("first_step", 101), ("second_step", 102), ("third_step", 103)):
                    recorded = (step == "second_step") == (start == "off")
                    self.assert_left(report, step, *((1, bytes) if recorded else (0, 0)))
                self.assertEqual(report.trace["gap_events"], 0)
                self.assertEqual(report.trace["damage"], [])

    def test_what_is_recorded_again_has_a_later_stamp_than_the_pause(self):
        """Though a thread that is alone gives events in a row one stamp."""
        trace = self.only_trace(self.toggled("rounds"))
        pauses = json.loads(self.leakan("info", "--format", "json", trace).stdout)["process"]["paused"]
        times = {}
        for line in self.leakan("dump", trace).stdout.decode().splitlines()[1:]:
            time, _, kind, _, size, *_ = line.split("\t")
            if kind == "malloc" and int(size) >= 1000:
                times[int(size)] = int(time)
        self.assertEqual(len(pauses), 100)
        skew_ns = 500  # of two processors' counters, where the kernel moves the thread
        for number, pause in enumerate(pauses):
            self.assertLessEqual(times[1000 + number], pause["from_ns"] + skew_ns)
            self.assertLessEqual(pause["from_ns"], pause["to_ns"] + skew_ns)
            self.assertGreaterEqual(times[2000 + number] + skew_ns, pause["to_ns"])

    def test_what_is_no_usable_signal_gives_one_line(self):
        for value in ("KILL", "SIGSTOP", "SEGV", "11", "BUS", "7", "ILL", "FPE", "TRAP", "ABRT", "6", "0", "65", "32",
                      "RTMIN+31", "USR3", "", "-1", "SIG", "RTMIN+"):
            with self.subTest(value=value):
                run = self.run_traced([self.host("alloc_functions")], env={"LEAK_TOGGLE_SIGNAL": value})
                lines = run.stderr.decode().splitlines()
                self.assertEqual((run.status, len(lines)), (0, 1), lines)
                self.assertTrue(lines[0].startswith("libleak: ") and "LEAK_TOGGLE_SIGNAL" in lines[0], lines)
                self.assert_left(self.report_of(run), "by_malloc", 1, 101)
