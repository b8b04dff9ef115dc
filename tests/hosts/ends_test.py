"""The ways to end: what the process had done when it ended is in the trace, to the last call.

The host counts its completed calls in memory it shares with a file. The trace must have all of them, and at most one
more a thread: a call that had been recorded and had not been counted yet.
"""

import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time

from leaktest import LeakTest, SLOT_BYTES, read_counters

OUR_MAGICS = (0x184D2A5B, 0x184D2A5C)  # a frame's, and padding's
GROWTH = 128 << 20

ENDS = {
    "return": 10, "exit": 11, "_exit": 12, "quick_exit": 13,
    "abort": -signal.SIGABRT, "segv": -signal.SIGSEGV, "kill": -signal.SIGKILL, "exec": 0,
}


class Ends(LeakTest):
    def check_counts(self, report, counters, threads):
        completed = sum(counters)
        for function, least in (("leak_until_the_end", completed), ("make_and_release", 0)):
            blocks, bytes = report.left(function)
            self.assertGreaterEqual(blocks, least, f"{function}: lost")
            self.assertLessEqual(blocks, least + threads, f"{function}: too many")
            self.assertEqual(bytes, blocks * (16 if function == "leak_until_the_end" else 48))
        self.assertEqual(report.summary["unmatched_releases"], 0)
        self.assertEqual(report.trace["gap_events"], 0)
        self.assertGreaterEqual(report.summary["releases"], completed)

    def check_end(self, how, threads, env=None):
        run = self.run_traced([self.host("ends"), "counters", str(threads), how], env=env)
        self.assertEqual(run.status, ENDS[how], run.stderr)
        self.assertEqual((run.stdout, run.stderr), (b"", b""))
        counters = read_counters(run.folder / "counters")
        self.assertEqual(counters[0], 50000)
        traces = [trace for trace in run.traces if ".ends." in trace.name]
        self.assertEqual(len(traces), 1, run.traces)
        report = self.report(traces[0])
        self.check_counts(report, counters, threads + 1)
        if threads == 0:
            self.assertEqual(report.left("leak_until_the_end")[0], 50000)
        return report

    def test_return_from_main(self):
        self.assertTrue(self.check_end("return", 0).trace["complete"])

    def test_return_from_main_while_threads_run(self):
        self.check_end("return", 3)

    def test_exit(self):
        self.assertTrue(self.check_end("exit", 0).trace["complete"])

    def test_exit_while_threads_run(self):
        self.check_end("exit", 3)

    def test__exit(self):
        self.assertTrue(self.check_end("_exit", 0).trace["complete"])

    def test__exit_while_threads_run(self):
        self.check_end("_exit", 3)

    def test_quick_exit(self):
        self.check_end("quick_exit", 0)
        self.check_end("quick_exit", 3)

    def test_abort(self):
        self.assertFalse(self.check_end("abort", 0).trace["complete"])
        self.check_end("abort", 3)

    def test_segmentation_fault(self):
        self.assertFalse(self.check_end("segv", 0).trace["complete"])
        self.check_end("segv", 3)

    def test_sigkill(self):
        self.assertFalse(self.check_end("kill", 0).trace["complete"])
        self.check_end("kill", 3)

    def test_sigkill_with_an_inline_writer(self):
        self.check_end("kill", 3, env={"LEAK_WRITER": "inline"})

    def test_exec_after_an_exec_that_failed(self):
        self.check_end("exec", 0)
        self.check_end("exec", 3)

    def test_sigkill_from_outside_at_any_moment(self):
        for attempt in range(12):
            folder = self.new_folder("killed")
            process = subprocess.Popen([self.host("ends"), "counters", "3", "stop"], cwd=folder,
                                       env=self.environment(self.traced_environment()), start_new_session=True)
            counters = folder / "counters"
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                if counters.exists() and counters.stat().st_size and sum(read_counters(counters)) > 0:
                    break
                time.sleep(0.001)
            time.sleep(0.002 * (attempt * attempt) + 0.001)
            os.kill(process.pid, signal.SIGKILL)
            self.assertEqual(process.wait(20), -signal.SIGKILL)
            (trace,) = folder.glob("leak.*.zst")
            self.check_trace_file(trace)
            self.check_counts(self.report(trace), read_counters(counters), 4)

    def test_before_main_and_after_it(self):
        run = self.run_both([self.host("early_late")], status=5)
        self.assertEqual(run.status, 5)
        report = self.report_of(run)
        for function, bytes in (("leak_in_constructor_function", 61), ("leak_in_static_constructor", 62),
                                ("leak_in_main", 63), ("leak_in_atexit", 64), ("leak_in_static_destructor", 65),
                                ("leak_in_destructor_function", 66)):
            self.assert_left(report, function, 1, bytes, "malloc")
        self.assert_left(report, "freed_later", 0, 0)
        self.assert_sound(report)


def check_end_of_file(fd):
    """What the file has of its last slot: whether that is less than the slot. As in format/FORMAT.md, section 2."""
    end = os.fstat(fd).st_size
    slot = os.pread(fd, SLOT_BYTES, (end - 1) // SLOT_BYTES * SLOT_BYTES)
    at = 0
    while at < len(slot):
        magic, bytes = struct.unpack_from("<II", slot, at)
        assert magic in OUR_MAGICS, f"{end}: {magic:#x} at {at} of the last {len(slot)} bytes"
        at += 8 + bytes
        if len(slot) == SLOT_BYTES:
            return False  # its frames may be changing
    assert at == len(slot), f"{end}: the last frame ends at {at} of {len(slot)} bytes"
    return True


class WhileRunning(LeakTest):
    def test_the_file_is_valid_while_it_becomes_longer(self):
        self.watch_growth(self.new_folder("grows"))

    def test_the_same_in_memory(self):
        """This file system makes files longer by single pages; others, where they can, by all of a call at once."""
        memory = pathlib.Path("/dev/shm")
        if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 2 * GROWTH:
            self.skipTest(f"needs {2 * GROWTH >> 20} MiB in {memory}")
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            self.watch_growth(pathlib.Path(folder))

    def watch_growth(self, folder):
        process = subprocess.Popen([self.host("ends"), "counters", "1", "stop"], cwd=folder, start_new_session=True,
                                   env=self.environment({**self.traced_environment(), "LEAK_RING": "0"}))
        deadline = time.monotonic() + 30
        try:
            while not (traces := list(folder.glob("leak.*.zst"))) or not traces[0].stat().st_size:
                self.assertLess(time.monotonic(), deadline)
            with open(traces[0], "rb") as trace:
                looks = partial = 0
                while os.fstat(trace.fileno()).st_size < GROWTH:
                    looks += 1
                    partial += check_end_of_file(trace.fileno())
                    self.assertLess(time.monotonic(), deadline)
            print(f"\n{partial} of {looks} looks found a part of a slot", end=" ", flush=True)
        finally:
            process.kill()
            process.wait()

    def test_the_trace_of_a_running_process_can_be_read(self):
        folder = self.new_folder("live")
        process = subprocess.Popen([self.host("many_events"), "counters", "250000", "wait"], cwd=folder,
                                   env=self.environment(self.traced_environment()), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        (trace,) = folder.glob("leak.*.zst")
        live = self.report(trace)
        self.assertFalse(live.trace["complete"])
        allocations, releases, leaks = read_counters(folder / "counters")[:3]
        self.assertEqual((allocations, releases, leaks), (252500, 250000, 2500))
        self.assert_left(live, "leaked_now_and_then", leaks, 24 * leaks)
        self.assert_left(live, "made_and_released", 0, 0)
        self.assertEqual(live.summary["allocations"], allocations)
        self.assertEqual(live.summary["releases"], releases)
        process.stdin.close()
        self.assertEqual(process.stdout.read(), b"250000 rounds\n")
        self.assertEqual(process.wait(20), 0)
        ended = self.report(trace)
        self.assertTrue(ended.trace["complete"])
        self.assertEqual(ended.summary["allocations"], allocations)

    def test_while_threads_write_as_fast_as_they_can(self):
        folder = self.new_folder("busy")
        process = subprocess.Popen([self.host("ends"), "counters", "3", "stop"], cwd=folder,
                                   env=self.environment(self.traced_environment()), start_new_session=True)
        try:
            time.sleep(0.3)
            (trace,) = folder.glob("leak.*.zst")
            for _ in range(3):
                before = sum(read_counters(folder / "counters"))
                # It writes while the report begins to read, and not for ever: else the reports grow longer and longer.
                pause = threading.Timer(0.3, process.send_signal, [signal.SIGSTOP])
                pause.start()
                report = self.report(trace)
                pause.join()
                after = sum(read_counters(folder / "counters"))
                process.send_signal(signal.SIGCONT)
                blocks, _ = report.left("leak_until_the_end")
                self.assertGreaterEqual(blocks, before, "events that were in the file before the report began")
                self.assertLessEqual(blocks, after + 4)
                self.assertEqual(report.summary["unmatched_releases"], 0)
        finally:
            process.kill()
            process.wait(20)
