"""Memory that comes to its end: the kernel's OOM killer, and malloc() that says no."""

import contextlib
import errno
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import time
import unittest

from leaktest import LeakTest, read_counters
from ring_account import AccountTest

MIB = 1 << 20


class MemoryCgroup:
    """A control group of its own with a limit and no swap, below the one we are in, or where that may have none, below
    the nearest of its ancestors that may. Version 2 or 1."""

    def __init__(self, limit_bytes):
        self.path = None
        for parent, limit, swap in self.places():
            path = parent / f"leakan-test.{os.getpid()}"
            with contextlib.suppress(OSError):
                path.mkdir()
                try:
                    (path / limit).write_text(str(limit_bytes))
                except OSError:
                    path.rmdir()
                    continue
                with contextlib.suppress(OSError):  # a kernel without account of swap
                    (path / swap[0]).write_text(swap[1] or str(limit_bytes))
                self.path = path
                return

    @staticmethod
    def places():
        """(folder, the limit's file, (that of swap, what it is to say)), the nearest first."""
        mounts = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, own = line.split(":", 2)
            if controllers == "":
                roots = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
                files = ("memory.max", ("memory.swap.max", "0"))
            elif "memory" in controllers.split(","):
                roots = [fields[1] for fields in mounts if fields[2] == "cgroup" and "memory" in fields[3].split(",")]
                files = ("memory.limit_in_bytes", ("memory.memsw.limit_in_bytes", None))
            else:
                continue
            for root in roots:
                nearest = pathlib.Path(root) / own.lstrip("/")
                for folder in (nearest, *nearest.parents):
                    yield folder, *files
                    if folder == pathlib.Path(root):
                        break

    def enter(self, path=None):
        """In the child, before it executes."""
        ((path or self.path) / "cgroup.procs").write_text(str(os.getpid()))

    def kills(self):
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                return int(re.search(r"^oom_kill (\d+)", (self.path / name).read_text(), re.M).group(1))
        return None

    def remove(self, path=None):
        for _ in range(100):
            try:
                return (path or self.path).rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                time.sleep(0.02)  # what was killed is still being taken apart


def can_limit_memory():
    group = MemoryCgroup(64 * MIB)
    if group.path is not None:
        group.remove()
    return group.path is not None


class Killed(AccountTest):
    def start(self, threads, ring, **options):
        folder = self.new_folder()
        env = self.environment(self.traced_environment({"LEAK_RING": ring, "LEAK_OUT": "trace.zst"}))
        return folder, subprocess.Popen([self.host("hungry"), "counters", str(threads)], cwd=folder, env=env,
                                        stdout=subprocess.PIPE, **options)

    def check(self, folder, process, threads, least_blocks):
        self.assertEqual((process.wait(60), process.stdout.read()), (-signal.SIGKILL, b""))
        process.stdout.close()
        report = self.assert_killed_account(folder / "trace.zst", folder / "counters", threads)
        self.assertGreater(report.left("take_large")[0], least_blocks)
        self.assertFalse(report.trace["complete"])
        return report

    @staticmethod
    def allocations(folder):
        counters = folder / "counters"
        return sum(read_counters(counters)[0::4]) if counters.exists() else 0

    @unittest.skipUnless(can_limit_memory(), "no control group with a memory limit can be made here (needs root, and "
                         "/sys/fs/cgroup to be writable)")
    def test_by_the_oom_killer(self):
        for threads, ring, megabytes in ((1, "0", 150), (3, "0", 200), (3, "8M", 200), (2, "8M", 400)):
            with self.subTest(threads=threads, ring=ring):
                group = MemoryCgroup(megabytes * MIB)
                try:
                    folder, process = self.start(threads, ring, preexec_fn=group.enter)
                    self.check(folder, process, threads, megabytes * 3 // 4)
                    self.assertEqual(group.kills(), 1, "it was the OOM killer")
                finally:
                    group.remove()

    def test_while_it_writes_to_new_memory(self):
        """What the OOM killer does, for where no control group is to be had: SIGKILL in the midst of page faults."""
        chance = random.Random(5)
        for threads, ring in ((1, "0"), (3, "0"), (3, "8M"), (2, "8M")):
            with self.subTest(threads=threads, ring=ring):
                blocks = chance.randrange(80, 200)
                # Should it not be killed, it ends soon.
                folder, process = self.start(threads, ring, preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_AS, (2048 * MIB, 2048 * MIB)))
                while self.allocations(folder) < 200 * blocks:
                    self.assertIsNone(process.poll())
                process.kill()
                self.check(folder, process, threads, blocks // 2)


class NoMore(AccountTest):
    def run_to_the_limit(self, threads, megabytes, ring):
        """(report, what the program did, large blocks left, error output)"""
        limit = megabytes * MIB
        run = self.run_traced([self.host("hungry"), "counters", str(threads)], env={"LEAK_RING": ring},
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        self.assertEqual(run.status, 0, run.stderr)
        given, left, refused, _ = map(int, re.findall(rb"\d+", run.stdout))
        self.assertGreater(given, megabytes // 4)
        self.assertGreater(refused, 0)
        return self.report_of(run), sum(read_counters(run.folder / "counters")), left, run.stderr

    def test_malloc_says_no(self):
        for threads, megabytes, ring in ((1, 120, "0"), (1, 120, "64M")):
            with self.subTest(threads=threads, ring=ring):
                report, done, left, errors = self.run_to_the_limit(threads, megabytes, ring)
                self.assertEqual(errors, b"")
                self.assert_nothing_missing(report)
                self.assert_left(report, "take_large", left, left * MIB, "malloc")
                self.assert_left(report, "take_small", 0, 0)
                self.assert_all_known(report, done, threads)

    def test_no_memory_for_more_slots_or_a_fold(self):
        """Several threads need several slots at the limit, and a ring that is full has to fold: where there is no memory
        for that, tracing stops, says so, and counts what it misses."""
        for ring in ("0", "8M"):
            with self.subTest(ring=ring):
                report, done, left, errors = self.run_to_the_limit(3, 400, ring)
                self.assertEqual(report.trace["damage"], [])
                self.assert_all_known(report, done, 3)
                if report.trace["gap_events"] == 0:
                    self.assertEqual(errors, b"")
                    self.assert_left(report, "take_large", left, left * MIB, "malloc")
                else:
                    self.assertRegex(errors, rb"^libleak: [^\n]*memory[^\n]*\n$")

    def assert_all_known(self, report, done, threads):
        known = report.summary["allocations"] + report.summary["releases"] + report.trace["gap_events"]
        self.assertGreaterEqual(known, done)
        self.assertLess(known, done + 80 * threads)  # the C library's own


class Limits(LeakTest):
    """What the samples say of the limits of memory."""

    def start(self, *, tick="0.08", **options):
        folder = self.new_folder("limits")
        env = self.environment(self.traced_environment({"LEAK_TICK": tick, "LEAK_OUT": "trace.zst",
                                                        **options.pop("env", {})}))
        process = subprocess.Popen([self.host("load"), str(options.pop("threads", 1))], cwd=folder, env=env, **options)
        self.addCleanup(process.wait)
        return folder / "trace.zst", process

    def samples(self, trace, process):
        self.assertEqual(process.wait(60), 0)
        samples = json.loads(self.leakan("timeline", "--format", "json", trace).stdout)["memory"]
        self.assertGreater(len(samples), 4)
        return samples

    @staticmethod
    def of(samples, name):
        return {sample[name] for sample in samples}

    def test_of_the_address_space(self):
        limit = 4096 * MIB + 3 * 4096
        for threads, writer in ((1, "thread"), (3, "thread"), (1, "inline")):
            with self.subTest(threads=threads, writer=writer):
                started = self.start(threads=threads, env={"LEAK_WRITER": writer}, preexec_fn=lambda:
                                     resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY)))
                self.assertEqual(self.of(self.samples(*started), "address_space_limit_bytes"), {limit})

    def test_one_that_is_set_while_the_program_runs(self):
        limit = 4096 * MIB
        trace, process = self.start(tick="0.01")
        time.sleep(0.2)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
        samples = self.samples(trace, process)
        self.assertIsNone(samples[0]["address_space_limit_bytes"])
        self.assertEqual(samples[-1]["address_space_limit_bytes"], limit)
        report = json.loads(self.leakan("report", "--format", "json", trace).stdout)
        self.assertEqual(report["memory"]["address_space_limit_bytes"], limit)

    def visible_limit(self):
        limits = []
        for folder, name, _ in MemoryCgroup.places():
            with contextlib.suppress(OSError, ValueError):
                limits.append(int((folder / name).read_text()))
        return min((limit for limit in limits if limit < 1 << 60), default=None)

    def test_of_the_control_groups_as_they_are(self):
        self.assertEqual(self.of(self.samples(*self.start()), "memory_limit_bytes"), {self.visible_limit()})

    @unittest.skipUnless(can_limit_memory(), "no control group with a memory limit can be made here (needs root, and "
                         "/sys/fs/cgroup to be writable)")
    def test_of_a_control_group(self):
        limit = 512 * MIB
        group = MemoryCgroup(limit)
        try:
            samples = self.samples(*self.start(preexec_fn=group.enter))
            below = group.path / "below"  # whose own limit is none
            below.mkdir()
            try:
                samples += self.samples(*self.start(preexec_fn=lambda: group.enter(below)))
            finally:
                group.remove(below)
        finally:
            group.remove()
        self.assertEqual(self.of(samples, "memory_limit_bytes"), {limit})


if __name__ == "__main__":
    unittest.main()
