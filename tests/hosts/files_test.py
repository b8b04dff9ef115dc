"""Files and descriptors: the host's stay the host's; where there is no room for a trace, the host does not notice."""

import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

from leaktest import IS_ROOT, LeakTest, read_counters


class Descriptors(LeakTest):
    def seen(self, form, **options):
        command = [self.host("descriptors"), form]
        plain = self.run_plain(command, **dict(options))
        traced = self.run_traced(command, **dict(options))
        self.assertEqual(traced.status, plain.status, traced.stdout)
        self.assertEqual((traced.stdout, traced.stderr), (plain.stdout, plain.stderr))
        self.assertEqual((traced.folder / "seen").read_text(), (plain.folder / "seen").read_text())
        for number in range(8):
            self.assertEqual((traced.folder / f"own{number}").read_bytes(), b"0123456789" * 20, f"own{number}")
        report = self.report_of(traced)
        self.assertEqual(report.left("leak_once"), (2, 202), report.describe())
        self.assert_left(report, "churn", 0, 0)
        self.assert_sound(report)
        self.assertEqual(report.summary["allocations"], 2 + 1000 + 2 * 20 * 8 * 1000 + 200000)

    def test_the_host_sees_no_descriptor_of_ours(self):
        self.seen("none")

    def test_a_host_that_closes_everything_by_close_range(self):
        self.seen("close_range")

    def test_a_host_that_closes_everything_one_by_one(self):
        self.seen("close_loop")

    def test_a_host_that_closes_everything_by_closefrom(self):
        self.seen("closefrom")

    def test_started_without_standard_descriptors(self):
        for closed in ("<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
            with self.subTest(closed=closed):
                results = []
                for run in (self.run_plain, self.run_traced):
                    # The shell would be traced too: the library is named for the host alone.
                    preload = self.traced_environment()["LD_PRELOAD"] if run == self.run_traced else ""
                    script = f'LD_PRELOAD="{preload}" exec {self.host("descriptors")} none {closed}'
                    done = self.run_plain(["/bin/sh", "-c", script])
                    results.append((done.status, done.stdout, done.stderr, (done.folder / "seen").read_text(),
                                    [(done.folder / f"own{i}").read_bytes() for i in range(8)]))
                self.assertEqual(results[0], results[1])
                self.assertEqual(len(done.traces), 1)
                self.assert_sound(self.report(done.traces[0]))

    def test_children_inherit_no_descriptor(self):
        script = f"ls /proc/self/fd; {self.host('alloc_functions')}; ls /proc/self/fd"
        self.run_both(["/bin/sh", "-c", script])


class Limits(LeakTest):
    def check(self, limit, how, status=0):
        run = self.run_both([self.host("file_limit"), str(limit), how], same_stderr=False, status=status)
        self.assertLessEqual(len(run.stderr.splitlines()), 1, run.stderr)
        return run

    def test_a_file_size_limit_the_host_handles(self):
        for limit in (0, 4096, 100000, 1000000):
            with self.subTest(limit=limit):
                run = self.check(limit, "handler")
                self.assertEqual(run.status, 0)
                self.assertIn(b"signals before: 0\n", run.stdout)

    def test_a_file_size_limit_kills_the_host_for_its_own_file_only(self):
        run = self.check(300000, "default", status=-25)
        self.assertEqual(run.status, -25)
        self.assertIn(b"signals before: 0\n", run.stdout)

    def test_a_limit_that_comes_when_slots_above_it_are_used_again(self):
        for writer in ("thread", "inline"):
            with self.subTest(writer=writer):
                run = self.run_traced([self.host("file_limit"), "65536", "late"],
                                      env={"LEAK_RING": "8M", "LEAK_WRITER": writer, "LEAK_ZSTD_LEVEL": "0"})
                self.assertEqual(run.status, 0)
                self.assertGreater(self.only_trace(run).stat().st_size, 1 << 20)
                report = self.report_of(run)
                self.assertEqual(report.trace["damage"], [])
                # It may have been about to use a new slot: then tracing ends there, and marks are missing, too.
                events, marks = 6_000_001, 600
                known = report.summary["allocations"] + report.summary["releases"] + report.trace["gap_events"]
                self.assertGreaterEqual(known, events, report.describe())
                self.assertLessEqual(known, events + marks, report.describe())

    def test_what_does_not_fit_is_counted(self):
        run = self.check(300000, "handler")
        report = self.report_of(run)
        known = report.summary["allocations"] + report.summary["releases"]
        self.assertEqual(known + report.trace["gap_events"], 400001, report.describe())
        self.assertGreater(report.trace["gap_events"], 0)
        self.assertFalse(report.trace["complete"])

    def test_a_limit_that_was_there_before_the_start(self):
        for limit in (0, 100000):
            with self.subTest(limit=limit):
                run = self.run_traced([self.host("alloc_functions")], preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_FSIZE, (limit, limit)), check_traces=False)
                self.assertEqual(run.status, 0)
                self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
                self.assertTrue(run.stderr.startswith(b"libleak: "))
                self.assertEqual(os.listdir(run.folder), [], "no useless file is left behind")

    def test_few_descriptors(self):
        for limit in (3, 4, 5):
            with self.subTest(limit=limit):
                run = self.run_traced([self.host("alloc_functions")], check_traces=False, preexec_fn=lambda:
                                      resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
                # With 3, ld.so can't load anything, and says so; traced, it says so of libleak.so, too.
                plain = self.run_plain([self.host("alloc_functions")], preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_NOFILE, (limit, limit)))
                self.assertEqual(run.status, plain.status)
                self.assertLessEqual(len(run.stderr.splitlines()), len(plain.stderr.splitlines()) + 1)

    def test_an_address_space_limit(self):
        for megabytes in (16, 40, 80, 200):
            with self.subTest(megabytes=megabytes):
                run = self.run_traced([self.host("alloc_functions")], check_traces=False, preexec_fn=lambda:
                                      resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20)))
                self.assertEqual(run.status, 0, run.stderr)
                self.assertLessEqual(len(run.stderr.splitlines()), 1, run.stderr)


def in_mount_namespace(script, *arguments):
    """The command that runs `script` with mounts of its own."""
    return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", *map(str, arguments)]


def can_mount():
    if not IS_ROOT or shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(in_mount_namespace('mount -t tmpfs none "$1"', folder),
                              capture_output=True).returncode == 0


@unittest.skipUnless(can_mount(), "needs root and the right to mount a small tmpfs")
class FullDisk(LeakTest):
    """A file system of its own, too small for the trace."""

    def run_on_small_disk(self, kilobytes, rounds, env=None, script_after=""):
        """Runs many_events with its trace on a tmpfs; copies the trace out before the mount goes away."""
        folder = self.new_folder("full")
        (folder / "disk").mkdir()
        (folder / "out").mkdir()
        script = f'''
            mount -t tmpfs -o size={kilobytes}k none disk && cd disk || exit 90
            LD_PRELOAD="$1" "$2" ../counters {rounds}
            status=$?
            cp -p leak.* ../out/ 2>/dev/null
            {script_after}
            exit $status'''
        preload = self.traced_environment()["LD_PRELOAD"]
        run = self.run_plain(in_mount_namespace(script, preload, self.host("many_events")), env=env, folder=folder)
        run.traces = sorted((folder / "out").glob("leak.*"))
        return run

    def test_a_disk_that_fills_up_in_mid_run(self):
        rounds = 1000000
        run = self.run_on_small_disk(600, rounds)
        self.assertEqual(run.status, 0, run.stderr)
        self.assertEqual(run.stdout, f"{rounds} rounds\n".encode())
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        trace = self.only_trace(run)
        self.check_trace_file(trace)
        report = self.report(trace)
        counters = read_counters(run.folder / "counters")
        self.assertGreater(report.trace["gap_events"], 0)
        self.assertEqual(report.summary["allocations"] + report.summary["releases"] + report.trace["gap_events"],
                         counters[0] + counters[1], "recorded and lost make all")

    def test_a_disk_that_is_smaller_than_the_ring(self):
        # many_events keeps what it leaks; what it releases is folded away.
        for env in ({"LEAK_RING": "1G"}, {"LEAK_RING": "1G", "LEAK_WRITER": "inline"}):
            with self.subTest(env=env):
                rounds = 8_000_000
                run = self.run_on_small_disk(5000, rounds, env=env)
                self.assertEqual((run.status, run.stdout), (0, f"{rounds} rounds\n".encode()), run.stderr)
                self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
                self.assertRegex(run.stderr, rb"no space left on the disk.*old events are folded")
                trace = self.only_trace(run)
                self.check_trace_file(trace)
                report = self.report(trace)
                counters = read_counters(run.folder / "counters")
                self.assert_sound(report)
                self.assertIsNotNone(report.trace["folded_ns"])
                self.assertEqual((report.summary["allocations"], report.summary["releases"]), tuple(counters[:2]))
                self.assert_left(report, "leaked_now_and_then", counters[2], 24 * counters[2], "malloc")

    def test_a_disk_without_room_for_the_first_slot(self):
        run = self.run_on_small_disk(64, 1000, env={"TMPDIR": "/nonexistent"})
        self.assertEqual(run.status, 0)
        self.assertEqual(run.stdout, b"1000 rounds\n")
        self.assertEqual(run.traces, [])
        fallen_back = [pathlib.Path(name) for name in re.findall(r"/tmp/leak\.many_events\.[0-9]+\.zst",
                                                                 run.stderr.decode())]
        for path in fallen_back:
            path.unlink(missing_ok=True)
        self.assertLessEqual(len(run.stderr.splitlines()), 1, run.stderr)

    def test_a_disk_that_fills_up_with_an_inline_writer(self):
        run = self.run_on_small_disk(600, 500000, env={"LEAK_WRITER": "inline"})
        self.assertEqual(run.status, 0, run.stderr)
        report = self.report(self.only_trace(run))
        counters = read_counters(run.folder / "counters")
        self.assertEqual(report.summary["allocations"] + report.summary["releases"] + report.trace["gap_events"],
                         counters[0] + counters[1])

    def test_nowhere_at_all(self):
        folder = self.new_folder("readonly")
        script = 'mount -t tmpfs -o ro none /tmp && cd /proc && LD_PRELOAD="$1" exec "$2"'
        run = self.run_plain(in_mount_namespace(script, self.traced_environment()["LD_PRELOAD"],
                                                self.copy_of_host("alloc_functions")),
                             env={"TMPDIR": "/proc"}, folder=folder)
        self.assertEqual((run.status, run.stdout), (0, b""))
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        self.assertTrue(run.stderr.startswith(b"libleak: "), run.stderr)

    def copy_of_host(self, name):
        host = self.host(name)
        if host.startswith("/tmp/") or self.traced_environment()["LD_PRELOAD"].startswith("/tmp/"):
            self.skipTest("the build folder lies in /tmp")
        return host


class Fallback(LeakTest):
    """/proc takes no files, not even root's."""

    def test_a_directory_that_cannot_be_written_falls_back_to_tmpdir(self):
        folder = self.new_folder("tmpdir")
        run = self.run_traced([self.host("alloc_functions")], env={"LEAK_OUT": "/proc/leak.%e.%p.zst",
                                                                   "TMPDIR": str(folder)})
        self.assertEqual((run.status, run.stdout), (0, b""))
        (trace,) = folder.glob("leak.alloc_functions.*.zst")
        self.assert_left(self.report(trace), "by_malloc", 1, 101)

    def test_the_working_directory_too(self):
        folder = self.new_folder("tmpdir")
        script = f'cd /proc; LD_PRELOAD="$1" exec {self.host("alloc_functions")}'
        run = self.run_plain(["/bin/sh", "-c", script, "sh", self.traced_environment()["LD_PRELOAD"]],
                             env={"TMPDIR": str(folder)})
        self.assertEqual(run.status, 0)
        self.assertEqual(len(list(folder.glob("leak.alloc_functions.*.zst"))), 1)

    def test_and_then_to_tmp(self):
        name = f"leaktest-{os.getpid()}.%p.zst"
        run = self.run_traced([self.host("alloc_functions")], env={"LEAK_OUT": f"/proc/{name}", "TMPDIR": "/proc"})
        traces = list(pathlib.Path("/tmp").glob(name.replace("%p", "*")))
        try:
            self.assertEqual(run.status, 0)
            (trace,) = traces
            self.assert_left(self.report(trace), "by_malloc", 1, 101)
        finally:
            for trace in traces:
                trace.unlink()

    def test_a_directory_that_does_not_exist(self):
        folder = self.new_folder("tmpdir")
        self.run_traced([self.host("alloc_functions")], env={"LEAK_OUT": "/nonexistent/a.zst", "TMPDIR": str(folder)})
        self.assertEqual(os.listdir(folder), ["a.zst"])


if __name__ == "__main__":
    sys.exit("run by tests/e2e/run_tests.py")
