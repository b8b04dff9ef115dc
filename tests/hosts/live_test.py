"""Traces that are read while they grow: `leakan report --follow` and `leakan watch` beside a running program."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

from leaktest import LEAKAN, LIBLEAK, LeakTest, Report

QUIET = ("--no-default-suppressions", "--top", "100000", "--depth", "1024")
# What a replay in steps may see otherwise than one of all: an event that comes late finds more or less live.
PEAKS = ("peak_bytes", "peak_ns", "peak_mapped_bytes")


class Live(LeakTest):
    def start(self, *arguments, ring="0"):
        """ring_work, traced: (process, trace)."""
        folder = self.new_folder("live")
        trace = folder / "trace.zst"
        process = subprocess.Popen([self.host("ring_work"), "counters", *arguments], cwd=folder,
                                   env=self.environment({"LD_PRELOAD": LIBLEAK, "LEAK_RING": ring,
                                                         "LEAK_OUT": "trace.zst"}))
        self.addCleanup(self.end, process)
        return process, trace

    @staticmethod
    def end(process):
        process.kill()
        process.wait()

    def slow_down(self, process):
        """Lets it run a tenth of the time: so fast as it is, it would be looked at once a minute."""
        over = threading.Event()

        def pulse():
            while not over.wait(0.2):
                process.send_signal(signal.SIGCONT)
                over.wait(0.02)
                process.send_signal(signal.SIGSTOP)

        process.send_signal(signal.SIGSTOP)
        thread = threading.Thread(target=pulse)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(over.set)

    def wait_for(self, path):
        for _ in range(200):
            if path.exists() and path.stat().st_size > 0:
                time.sleep(0.3)
                return
            time.sleep(0.05)
        self.fail(f"{path} was not made")

    def begin_leakan(self, *arguments, **options):
        process = subprocess.Popen([LEAKAN, *map(str, arguments)], env=self.environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, **options)
        self.addCleanup(self.end, process)
        return process

    # -- report --follow ----------------------------------------------------------------------------------------------

    def follow(self, threads, ring):
        program, trace = self.start(str(threads), "0", "5", "forever", ring=ring)
        reader = self.begin_leakan("report", "--follow", "--interval", "0.2", "--format", "json", *QUIET, trace)
        time.sleep(6)
        program.kill()
        program.wait()
        out, err = reader.communicate(timeout=300)
        self.assertEqual(reader.returncode, 0, err)
        return [Report(json.loads(line)) for line in out.splitlines()], trace

    def check_followed(self, reports, trace, threads):
        self.assertGreater(len(reports), 1)
        for report in reports:
            self.assertEqual(report.trace["damage"], [])
            self.assert_sound(report)
            self.assertEqual(report.summary["allocations"] - report.summary["releases"],
                             sum(site.blocks for site in report.sites))
        for before, after in zip(reports, reports[1:]):
            self.assertGreaterEqual(after.summary["allocations"], before.summary["allocations"])
        self.assertTrue(all(report.trace["still_running"] for report in reports[:-1]))
        self.assert_left(reports[-1], "early_leak", 40 * threads, 40 * sum(1000 + i for i in range(threads)))
        self.check_last(reports, trace)

    def check_last(self, reports, trace):
        whole = self.report(trace)
        last = reports[-1]
        for peak in PEAKS:
            self.assertLess(abs(last.summary.pop(peak) - whole.summary.pop(peak)), 10**9)
        self.assertEqual(last.summary, whole.summary)
        self.assertEqual(last.trace, {**whole.trace, "path": last.trace["path"]})
        self.assertEqual(sorted(map(json.dumps, last.data["unfreed"])), sorted(map(json.dumps, whole.data["unfreed"])))
        self.assertEqual(last.data["mapped"], whole.data["mapped"])

    def test_the_last_report_is_that_of_the_whole_trace(self):
        reports, trace = self.follow(2, "0")
        self.check_followed(reports, trace, 2)

    def test_the_last_report_of_a_ring_that_wraps_is_that_of_the_whole_trace(self):
        reports, trace = self.follow(2, "8M")
        self.check_followed(reports, trace, 2)
        self.assertIsNotNone(reports[-1].trace["folded_ns"])

    def test_a_thread_for_each_request_is_followed(self):
        """Threads that ended leave the carried state, and the reader, while it goes on."""
        folder = self.new_folder("churn")
        trace = folder / "trace.zst"
        program = subprocess.Popen([self.host("churn"), "16000"], cwd=folder, env=self.environment(
            {"LD_PRELOAD": LIBLEAK, "LEAK_RING": "8M", "LEAK_OUT": "trace.zst"}))
        self.addCleanup(self.end, program)
        self.wait_for(trace)
        reader = self.begin_leakan("report", "--follow", "--interval", "0.2", "--format", "json", *QUIET, trace)
        out, err = reader.communicate(timeout=300)
        self.assertEqual((reader.returncode, program.wait()), (0, 0), err)
        reports = [Report(json.loads(line)) for line in out.splitlines()]
        self.assertGreater(len(reports), 1)
        for report in reports:
            self.assertEqual(report.trace["damage"], [])
            self.assert_sound(report)
        self.assertIsNotNone(reports[-1].trace["folded_ns"])
        self.assertEqual(reports[-1].summary["threads"], 16_001)
        self.assert_left(reports[-1], "leak_in_request", 16, 1600)
        self.check_last(reports, trace)

    def test_a_trace_that_is_not_there_yet_is_waited_for(self):
        folder = self.new_folder("waits")
        trace = folder / "later.zst"
        reader = self.begin_leakan("report", "--follow", "--interval", "0.2", trace)
        time.sleep(0.5)
        run = self.run_traced([self.host("small_program")], env={"LEAK_OUT": str(trace)})
        self.assertEqual(run.status, 0)
        out, err = reader.communicate(timeout=60)
        self.assertEqual((reader.returncode, err.decode()), (0, f"leakan: waiting for {trace}\n"))
        parts = re.split(r"^==== \d{4}-\d\d-\d\d \d\d:\d\d:\d\d ====\n\n", out.decode(), flags=re.M)
        self.assertEqual(parts[0], "")
        def without_times(text):  # a short run's clock is calibrated by the moment of reading
            return re.sub(r"[\d.]+ (µs|ms|s)\b", "T", text)

        self.assertEqual(without_times(parts[-1]), without_times(self.leakan("report", trace).stdout.decode() + "\n"))

    def test_a_trace_that_is_being_made_is_waited_for(self):
        whole = self.only_trace(self.run_traced([self.host("small_program")])).read_bytes()
        for begun in (b"", whole[:64], whole[:64] + bytes(4096)):  # of its first slot
            trace = self.new_folder("begun") / "trace.zst"
            trace.write_bytes(begun)
            reader = self.begin_leakan("report", "--follow", "--interval", "0.2", trace)
            time.sleep(0.5)
            self.assertIsNone(reader.poll())
            with open(trace, "r+b") as file:  # its beginning last
                file.seek(4096)
                file.write(whole[4096:])
                file.flush()
                file.seek(0)
                file.write(whole[:4096])
            _, err = reader.communicate(timeout=60)
            self.assertEqual((reader.returncode, err), (0, b""))

    def test_ctrl_c_leaves_whole_reports(self):
        program, trace = self.start("1", "0", "6", "forever")
        self.wait_for(trace)
        for pause in (0.05, 0.3, 1.5):
            reader = self.begin_leakan("report", "--follow", "--interval", "0.1", "--format", "json", trace)
            time.sleep(pause)
            reader.send_signal(signal.SIGINT)
            out, err = reader.communicate(timeout=60)
            if pause > 0.05:  # before that it may not have begun
                self.assertEqual((reader.returncode, err), (0, b""))
            for line in out.decode().splitlines(keepends=True):
                self.assertTrue(line.endswith("\n"))
                self.assertEqual(json.loads(line)["schema"], "leakan.report.v1")
        self.assertIsNone(program.poll())

    def test_what_follow_does_not_take(self):
        self.assertIn(b"one trace", self.leakan("report", "--follow", "a.zst", "b.zst", status=2).stderr)
        self.leakan("report", "--interval", "1", "a.zst", status=2)

    # -- watch --------------------------------------------------------------------------------------------------------

    def check_frames(self, text, pid, count):
        frames = re.split(r"\n\n(?=ring_work)", text.strip("\n"))
        self.assertEqual(len(frames), count, text)
        for frame in frames:
            self.assertRegex(frame, rf"^ring_work \(pid {pid}, .*\)\nlive .* in [\d,]+ blocks?, peak .*, gaps none\n"
                                    r"[\d,]+ allocations/s, [\d,]+ releases/s, .*/s allocated, ")
            self.assertIn("\n\nSTACKS by growth  10 of ", frame)
            self.assertRegex(frame, r"\n  [+-][\d.]+ \w+, of late [+-].*/s  .* in [\d,]+ blocks?\n     ")
            self.assertIn("allocate_at<", frame)
            self.assertNotIn("\033", frame)

    def test_watch_prints_frames(self):
        for ring in ("0", "8M"):
            with self.subTest(ring=ring):
                program, trace = self.start("2", "0", "7", "forever", ring=ring)
                self.wait_for(trace)
                time.sleep(1.5)  # the ring wraps
                self.slow_down(program)
                done = self.leakan("watch", "--count", "3", "--interval", "0.3", trace)
                self.check_frames(done.stdout.decode(), program.pid, 3)
                self.assertIsNone(program.poll())

    def test_watch_finds_the_trace_of_a_process(self):
        program, trace = self.start("1", "0", "8", "forever")
        self.wait_for(trace)
        done = self.leakan("watch", "--count", "1", "--sort", "bytes", program.pid)
        self.assertIn("STACKS by bytes", done.stdout.decode())
        self.end(program)
        self.assertIn(b"there is no process", self.leakan("watch", program.pid, status=2).stderr)
        self.assertIn(b"is not traced", self.leakan("watch", os.getpid(), status=2).stderr)

    def test_watch_ends_with_the_process(self):
        program, trace = self.start("1", "300000", "9")
        self.wait_for(trace)
        watch = self.begin_leakan("watch", "--interval", "30", trace)
        program.wait()
        out, err = watch.communicate(timeout=60)
        self.assertEqual((watch.returncode, err), (0, b""))
        self.assertIn("exited with status 0", out.decode())

    # -- watch on a terminal ------------------------------------------------------------------------------------------

    def on_terminal(self, trace, *arguments):
        """(leakan watch, the terminal's other end, its attributes before)."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
        before = termios.tcgetattr(slave)
        watch = subprocess.Popen([LEAKAN, "watch", "--interval", "0.3", "--color", "never", *arguments, str(trace)],
                                 env=self.environment({"TERM": "xterm"}), stdin=slave, stdout=slave,
                                 stderr=subprocess.PIPE, start_new_session=True)
        self.addCleanup(self.end, watch)
        self.slave = slave
        return watch, master, before

    @staticmethod
    def read_screen(master, until, seconds=30):
        text = b""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up and not re.search(until, text):
            if select.select([master], [], [], 0.1)[0]:
                text += os.read(master, 65536)
        return text

    def check_restored(self, text, before):
        self.assertIn(b"\033[?1049h", text)
        self.assertEqual(text.count(b"\033[?1049h"), text.count(b"\033[?1049l"))
        self.assertGreater(text.rindex(b"\033[?1049l"), text.rindex(b"\033[?25l"))
        self.assertIn(b"\033[?25h\033[?1049l", text)
        self.assertEqual(termios.tcgetattr(self.slave), before)

    def test_q_ends_watch_and_the_terminal_is_as_it_was(self):
        program, trace = self.start("2", "0", "10", "forever", ring="8M")
        self.wait_for(trace)
        watch, master, before = self.on_terminal(trace)
        text = self.read_screen(master, rb"STACKS by growth.*\n")
        self.assertNotEqual(termios.tcgetattr(self.slave), before)
        os.write(master, b"s")
        text += self.read_screen(master, rb"STACKS by bytes")
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 30, 0, 0))
        watch.send_signal(signal.SIGWINCH)
        resized = self.read_screen(master, rb"\033\[H(.|\n)*\033\[J(.|\n)*\033\[H(.|\n)*\033\[J")
        os.write(master, b"q")
        self.assertEqual(watch.wait(timeout=30), 0)
        rest = self.read_screen(master, rb"1049l")
        self.check_restored(text + resized + rest, before)
        last = (resized + rest).split(b"\033[H")[-1].split(b"\033[J")[0]
        lines = re.split(r"\r+\n", last.decode().replace("\033[K", ""))
        self.assertLessEqual(len(lines), 12)
        self.assertLessEqual(max(map(len, lines)), 30, lines)
        self.assertIsNone(program.poll())

    def test_signals_give_the_terminal_back(self):
        program, trace = self.start("1", "0", "11", "forever")
        self.wait_for(trace)
        for sent, status in ((signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGSEGV, -signal.SIGSEGV)):
            with self.subTest(signal=sent):
                watch, master, before = self.on_terminal(trace)
                text = self.read_screen(master, rb"STACKS.*\n")
                watch.send_signal(sent)
                self.assertEqual(watch.wait(timeout=30), status)
                self.check_restored(text + self.read_screen(master, rb"1049l"), before)
        self.assertIsNone(program.poll())

    def test_the_last_screen_stays_when_the_process_ends(self):
        program, trace = self.start("1", "0", "12", "forever")
        self.wait_for(trace)
        watch, master, before = self.on_terminal(trace)
        text = self.read_screen(master, rb"STACKS.*\n")
        program.kill()
        text += self.read_screen(master, rb"1049l(.|\n)*killed or crashed(.|\n)*STACKS")
        self.assertEqual(watch.wait(timeout=30), 0)
        self.check_restored(text, before)
        self.assertIn(b"killed or crashed", text[text.rindex(b"\033[?1049l"):])
