"""A disk that answers late, like a network's: the program goes on meanwhile, and nothing is lost.

tests/hosts/slow_storage.cpp holds up every call by which the trace is made, extended and mapped.
"""

import functools
import signal
import subprocess
import tempfile
import unittest

from leaktest import HOSTS, read_counters
from ring_account import AccountTest, read_truth

DELAY_MS = 20


@functools.cache
def can_hold_up_calls():
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([HOSTS / "slow_storage", "1", f"{folder}/account", "true"]).returncode == 0


class SlowStorage(AccountTest):
    def setUp(self):
        super().setUp()
        if not can_hold_up_calls():
            self.skipTest("needs seccomp's user notification (Linux 5.5, and no sandbox that forbids it)")

    def slowed(self, host, *arguments, delay_ms=DELAY_MS):
        """The command, and the settings under which the program is traced and what holds up its calls is not."""
        command = [self.host("slow_storage"), str(delay_ms), "account", self.host(host), *map(str, arguments)]
        return command, {"LEAK_ONLY": host}

    def waited(self, run):
        """Seconds that calls were held up, one after the other."""
        return int((run.folder / "account").read_text()) * DELAY_MS / 1000

    def work(self, threads, operations, ring, delay_ms, writer="thread"):
        command, env = self.slowed("ring_work", "counters", threads, operations, 11, "small", delay_ms=delay_ms)
        run = self.run_traced(command, env={**env, "LEAK_RING": ring, "LEAK_WRITER": writer}, timeout=100)
        self.assertEqual((run.status, run.stdout, run.stderr), (0, b"", b""))
        return run

    def test_nothing_is_lost_and_threads_do_not_wait_one_after_the_other(self):
        for threads, operations, ring, writer in ((1, 1_000_000, "8M", "thread"), (4, 300_000, "8M", "thread"),
                                                  (4, 300_000, "0", "thread"), (3, 200_000, "8M", "inline")):
            with self.subTest(threads=threads, ring=ring, writer=writer):
                fast = self.work(threads, operations, ring, 0, writer)
                slow = self.work(threads, operations, ring, DELAY_MS, writer)
                self.assert_account(self.report_of(slow), read_truth(slow.folder), threads)
                waited = self.waited(slow)
                print(f"\n{threads} threads, ring {ring}, writer {writer}: {fast.seconds:.2f} s; calls held up for "
                      f"{waited:.2f} s: {slow.seconds:.2f} s", end=" ", flush=True)
                self.assertGreater(waited, 0.5)
                # At worst all wait for the same calls, and not each for calls of its own on top.
                self.assertLess(slow.seconds, 2 * fast.seconds + 1.25 * waited + 1)

    def test_it_prints_and_ends_as_ever(self):
        command, env = self.slowed("many_events", "counters", 200_000)
        run = self.run_both(command, env=env)
        self.assertEqual(run.stdout, b"200000 rounds\n")
        report = self.report_of(run)
        self.assert_sound(report)
        self.assert_left(report, "leaked_now_and_then", 2000, 48000)
        self.assertGreater(self.waited(run), 0.1)

    def test_it_may_end_in_any_way_while_calls_wait(self):
        for how, status in (("return", 10), ("_exit", 12), ("abort", -signal.SIGABRT)):
            with self.subTest(how=how):
                command, env = self.slowed("ends", "counters", 2, how)
                self.check_ended(self.run_both(command, env=env, status=status))

    def test_it_may_be_killed_while_calls_wait(self):
        for i in range(6):
            how, status = (("segv", -signal.SIGSEGV), ("kill", -signal.SIGKILL))[i % 2]
            with self.subTest(i=i, how=how):
                command, env = self.slowed("ends", "counters", 2, how)
                run = self.run_traced(command, env=env)
                self.assertEqual((run.status, run.stdout, run.stderr), (status, b"", b""))
                self.check_ended(run)

    def check_ended(self, run):
        report = self.report_of(run)
        self.assertEqual(report.trace["damage"], [])
        self.assert_sound(report)
        completed = sum(read_counters(run.folder / "counters"))
        self.assertGreaterEqual(report.left("leak_until_the_end")[0], completed)
        self.assertLessEqual(report.left("leak_until_the_end")[0], completed + 3)
        self.assertGreater(self.waited(run), 0.1)


if __name__ == "__main__":
    unittest.main()
