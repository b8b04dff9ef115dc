"""Marks that come from outside: `leakan mark` beside a running program, which takes no part."""

import json
import os
import shutil
import subprocess
import time
import unittest

from leaktest import IS_ROOT, LEAKAN, LIBLEAK, LeakTest

SLACK_NS = 5_000_000  # between the clocks: wall clock here, time-stamp counter there
NOBODY = 65534


class Marks(LeakTest):
    def start(self, command, **env):
        """(process, trace)"""
        folder = self.new_folder("marks")
        trace = folder / "trace.zst"
        process = subprocess.Popen(command, cwd=folder, env=self.environment(
            {"LD_PRELOAD": LIBLEAK, "LEAK_OUT": str(trace), **env}), stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, process)
        self.wait_until_made(trace)
        return process, trace

    def wait_until_made(self, trace):
        for _ in range(400):
            if trace.exists() and trace.stat().st_size > 0:
                return time.sleep(0.2)
            time.sleep(0.05)
        return self.fail(f"{trace} was not made")

    def start_work(self, ring="8M"):
        return self.start([self.host("ring_work"), "counters", "4", "0", "21", "forever"], LEAK_RING=ring)

    @staticmethod
    def end(process):
        process.kill()
        process.wait()

    def wait_until_folded(self, trace):
        for _ in range(100):
            if json.loads(self.leakan("info", "--format", "json", trace).stdout)["trace"]["folded_ns"] is not None:
                return
            time.sleep(0.2)
        self.fail(f"{trace} does not wrap")

    def marks(self, trace):
        return self.report(trace).trace["marks"]

    def texts(self, trace):
        return [mark["text"] for mark in self.marks(trace)]

    def refusal(self, *arguments):
        return self.leakan("mark", *arguments, status=2).stderr.decode()

    def test_a_mark_has_its_time(self):
        """Also of a ring that wraps; while the program runs and when it was killed."""
        program, trace = self.start_work()
        moments = []
        for target, text in ((program.pid, "load stop"), (trace, "größer 2")):
            before = time.time_ns()
            done = self.leakan("mark", target, text)
            moments.append((text, before, time.time_ns()))
            self.assertEqual((done.stdout, done.stderr), (b"", b""))
            self.wait_until_folded(trace)
        for _ in range(2):
            report = self.report(trace)
            self.assertEqual(report.trace["damage"], [])
            marks = report.trace["marks"]
            self.assertEqual([mark["text"] for mark in marks], [text for text, *_ in moments])
            for mark, (_, before, after) in zip(marks, moments):
                at = report.trace["start_unix_ns"] + mark["at_ns"]
                self.assertLess(before - SLACK_NS, at)
                self.assertLess(at, after + SLACK_NS)
            self.assertIn('mark "load stop" at', self.leakan("timeline", trace).stdout.decode())
            self.end(program)
        self.check_trace_file(trace)

    def test_of_many_at_once_none_is_lost(self):
        program, trace = self.start_work(ring="0")
        expected = [f"mark {i}" for i in range(48)]
        for at in range(0, len(expected), 12):
            running = [subprocess.Popen([LEAKAN, "mark", str(program.pid), text], stderr=subprocess.PIPE)
                       for text in expected[at:at + 12]]
            for process in running:
                self.assertEqual((process.communicate(timeout=60)[1], process.returncode), (b"", 0))
        self.assertIsNone(program.poll())
        self.end(program)
        marks = self.marks(trace)
        self.assertEqual(sorted(mark["text"] for mark in marks), sorted(expected))
        self.assertEqual(marks, sorted(marks, key=lambda mark: mark["at_ns"]))
        self.check_trace_file(trace)

    def test_who_follows_sees_it(self):
        program, trace = self.start_work()
        reader = subprocess.Popen([LEAKAN, "report", "--follow", "--interval", "0.2", "--format", "json", trace],
                                  stdout=subprocess.PIPE, env=self.environment())
        self.addCleanup(self.end, reader)
        self.assertEqual(json.loads(reader.stdout.readline())["trace"]["marks"], [])
        self.leakan("mark", program.pid, "now")
        self.end(program)
        reports = [json.loads(line) for line in reader.communicate(timeout=120)[0].splitlines()]
        self.assertEqual([mark["text"] for mark in reports[-1]["trace"]["marks"]], ["now"])

    def test_no_more_room(self):
        program, trace = self.start([self.host("ring_work"), "counters", "1", "0", "22", "forever"], LEAK_RING="8M")
        for count in range(1000):
            done = subprocess.run([LEAKAN, "mark", trace, f"{count:0120}"], capture_output=True, timeout=60)
            if done.returncode != 0:
                break
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr.decode(), r"^leakan: .*trace\.zst: offset \d+: the trace has no more room ")
        self.assertGreaterEqual(count, 30)
        self.assertEqual(self.texts(trace), [f"{i:0120}" for i in range(count)])
        self.assertIsNone(program.poll())
        self.end(program)  # zstd reads no slots that are used again meanwhile
        self.check_trace_file(trace)

    def test_a_process_that_has_ended(self):
        program, trace = self.start_work()
        self.leakan("mark", trace, "before")
        self.end(program)
        size = trace.stat().st_size
        self.assertIn(f"its process {program.pid} has ended", self.refusal(trace, "after"))
        self.assertIn("there is no process", self.refusal(program.pid, "after"))
        self.assertIn("is not traced", self.refusal(os.getpid(), "after"))
        self.assertEqual((self.texts(trace), trace.stat().st_size), (["before"], size))

    def test_a_process_that_became_another_program(self):
        program, trace = self.start(["/bin/sh", "-c", 'export LEAK_OUT="$PWD/sleep.zst"; exec sleep 100'])
        sleeps = trace.parent / "sleep.zst"
        self.wait_until_made(sleeps)
        self.assertIn(f"its process {program.pid} has become another program", self.refusal(trace, "x"))
        self.leakan("mark", program.pid, "asleep")
        self.assertEqual((self.texts(trace), self.texts(sleeps)), ([], ["asleep"]))

    def test_what_is_no_text(self):
        program, trace = self.start_work()
        self.assertIn("without text", self.refusal(trace, ""))
        self.assertIn("at most 120 bytes", self.refusal(trace, "x" * 121))
        self.refusal(trace)
        self.refusal(trace, "two", "words")
        self.assertEqual(self.texts(trace), [])

    def test_a_file_that_was_cut_stays_as_short(self):
        program, trace = self.start_work()
        os.truncate(trace, 100_000)
        self.assertIn("the file was cut", self.refusal(trace, "x"))
        self.assertEqual(trace.stat().st_size, 100_000)
        self.assertIsNone(program.poll())

    @unittest.skipUnless(IS_ROOT, "needs root, to be somebody else")
    def test_who_may_not_write(self):
        program, trace = self.start_work()
        leakan = trace.parent / "leakan"
        shutil.copy(LEAKAN, leakan)
        for path in (trace.parent, *trace.parent.parents):
            if not path.stat().st_mode & 0o001:
                path.chmod(path.stat().st_mode | 0o001)
        for mode, message in ((0o600, b"the trace can't be opened: Permission denied"),
                              (0o644, b"the trace can't be written: Permission denied")):
            trace.chmod(mode)
            done = subprocess.run([leakan, "mark", trace, "x"], capture_output=True, user=NOBODY, group=NOBODY)
            self.assertEqual(done.returncode, 2)
            self.assertIn(message, done.stderr)
        trace.chmod(0o600)
        self.assertEqual(self.texts(trace), [])


if __name__ == "__main__":
    unittest.main()
