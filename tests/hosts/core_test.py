"""`--core`: the classes and the retention that a snapshot tells, from a core dump of the process instead."""

import functools
import json
import os
import pathlib
import random
import re
import resource
import shutil
import struct
import subprocess
import time
import unittest

from class_truth import COMMANDS, TRUTH, count_by_function, in_words, is_right, lost, reachable, records_of
from leaktest import LEAKAN, LeakTest
from retention_test import TRUTH as RETAINED

# Where a core tells more than a snapshot, or less.
CORE_TRUTH = {
    "class_roots": {
        "in_register": reachable(),  # a core has the registers of all threads
        "in_kernel": lost(),
    },
    "class_registered": {
        # Limited: a core does not say what is shared or registered: all that is written in it is taken.
        "in_registered_memory": reachable(),
        "beside_registered_memory": reachable(),
        "in_file": reachable(),
    },
}
CORE_PATTERN = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()


def truth_of(program):
    return {**TRUTH[program], **CORE_TRUTH.get(program, {})}


@functools.cache
def why_no_gcore():
    """Empty where gcore can dump a process."""
    if shutil.which("gcore") is None:
        return "gcore is not installed"
    process = subprocess.Popen(["sleep", "60"])
    try:
        done = subprocess.run(["gcore", "-o", "/tmp/leakan-test.gcore", str(process.pid)], capture_output=True)
        path = pathlib.Path(f"/tmp/leakan-test.gcore.{process.pid}")
        if not path.exists():
            return "gcore may not attach: " + done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        path.unlink()
        return ""
    finally:
        process.kill()
        process.wait()


def why_no_kernel_core():
    if CORE_PATTERN.startswith("|"):
        return f"the kernel gives core dumps to a program: {CORE_PATTERN}"
    if CORE_PATTERN != "core":
        return f"the kernel writes core dumps elsewhere: {CORE_PATTERN}"
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        return "core dumps are forbidden here (ulimit -H -c 0)"
    return ""


class Cores(LeakTest):
    def need_gcore(self):
        if why_no_gcore():
            self.skipTest(why_no_gcore())

    def need_kernel_core(self):
        if why_no_kernel_core():
            self.skipTest(why_no_kernel_core())

    def start(self, command, **env):
        folder = self.new_folder("waiting")
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   env=self.traced_environment(self.environment(
                                       {"LEAK_SNAPSHOT": "off", "HOST_END": "wait", **env})))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        (trace,) = folder.glob("leak.*.zst")
        return process, trace

    def gcore(self, process, trace):
        done = subprocess.run(["gcore", "-o", str(trace.parent / "gcore"), str(process.pid)], capture_output=True)
        core = trace.parent / f"gcore.{process.pid}"
        self.assertTrue(core.exists(), done.stderr)
        return core

    def end(self, process):
        process.stdin.close()
        self.assertEqual(process.wait(timeout=60), 0)

    def dump_waiting(self, command):
        """(core, trace) of a process that waits, by gcore."""
        self.need_gcore()
        process, trace = self.start(command)
        core = self.gcore(process, trace)
        self.end(process)
        return core, trace

    def dump_crash(self, command, how="abort"):
        """(core, trace) of a process that crashes, by the kernel."""
        self.need_kernel_core()

        def allow():
            most = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (most, most))

        run = self.run_traced(command, env={"LEAK_SNAPSHOT": "off", "HOST_END": how}, preexec_fn=allow)
        self.assertEqual(run.status, {"abort": -6, "fault": -11}[how], run.stderr)
        (core,) = run.folder.glob("core*")
        return core, self.only_trace(run)

    def command_of(self, program):
        return [self.host(program), *map(str, COMMANDS[program])]

    def check_classes(self, program, core, trace):
        report = self.report(trace, "--core", core)
        self.assert_sound(report)
        snapshot = report.data["snapshot"]
        self.assertEqual((snapshot["reason"], snapshot["core"]["path"]), ("core", str(core)))
        self.assertEqual((snapshot["threads_without_registers"], snapshot["skipped_bytes"]), (0, 0))
        self.assertEqual(snapshot["core"]["other_modules"], [])
        self.assertEqual(snapshot["core"]["blocks_outside"], 0)
        self.assertFalse(snapshot["core"]["damaged"] or snapshot["core"]["late"])
        found = count_by_function(program, records_of(report))
        for function, truth in truth_of(program).items():
            with self.subTest(function):
                self.assertTrue(is_right(found[function], truth),
                                f"{function}: {in_words(truth)}, found {in_words(found[function])}")
        return report


    # -- A process that goes on ---------------------------------------------------------------------------------------

    def dump_and_go_on(self):
        """(core, trace) of `dumped`, which has changed since and ended."""
        self.need_gcore()
        process, trace = self.start([self.host("dumped")])
        core = self.gcore(process, trace)
        process.stdin.write(b"c")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"changed\n")
        self.end(process)
        return core, trace

    def classes_of(self, report, function):
        sums = {}
        for site in report.sites_of(function):
            for name, blocks in site.raw["class"].items():
                if blocks:
                    sums[name] = sums.get(name, 0) + blocks
        return sums

    def test_a_process_that_goes_on(self):
        """The classes are those of the moment of the core; what came later is unknown."""
        core, trace = self.dump_and_go_on()
        report = self.report(trace, "--core", core)
        self.assertEqual(self.classes_of(report, "lost_later"), {"reachable": 1})
        self.assertEqual(self.classes_of(report, "released_later"), {})
        self.assertEqual(self.classes_of(report, "made_later"), {"unknown": 10})
        self.assertFalse(report.data["snapshot"]["core"]["late"])
        text = self.leakan("report", "--core", core, trace).stdout.decode()
        self.assertRegex(text, rf"classes +from the core {core.name}, at .*, of 2 threads")
        self.assertRegex(text, "The core is of .*: whether 10 later blocks could be reached is not known.")

    def test_all_registers_of_all_threads(self):
        core, trace = self.dump_and_go_on()
        self.assertEqual(self.classes_of(self.report(trace, "--core", core), "in_vector_register"), {"reachable": 1})

    def test_memory_that_is_kept_out_of_cores(self):
        """What it points to can't be known; that is said."""
        core, trace = self.dump_and_go_on()
        report = self.report(trace, "--core", core)
        self.assertEqual(self.classes_of(report, "left_out_of_cores"), {"reachable": 1})
        self.assertEqual(self.classes_of(report, "behind_what_is_left_out"), {"unreachable": 1})
        facts = report.data["snapshot"]["core"]
        self.assertEqual((facts["blocks_outside"], facts["bytes_outside"]), (1, 1 << 20))
        text = self.leakan("report", "--core", core, trace).stdout.decode()
        self.assertIn("1 block of 1.00 MiB that were live lie in memory which the core does not have", text)

    def test_a_core_whose_time_was_changed(self):
        """It is said that it is too late; --core-at tells the true one; what is too early is refused."""
        core, trace = self.dump_and_go_on()
        at = self.report(trace, "--core", core).data["snapshot"]["at_ns"]
        later = time.time() + 3600
        os.utime(core, (later, later))
        report = self.report(trace, "--core", core)
        self.assertTrue(report.data["snapshot"]["core"]["late"])
        self.assertNotIn("unknown", self.classes_of(report, "made_later"))
        self.assertIn(b"The core file is younger than the end", self.leakan("report", "--core", core, trace).stdout)
        report = self.report(trace, "--core", core, "--core-at", f"{at / 1e9:.9f}s")
        self.assertEqual(self.classes_of(report, "made_later"), {"unknown": 10})
        self.assertEqual(self.classes_of(report, "lost_later"), {"reachable": 1})
        os.utime(core, (1e9, 1e9))
        error = self.leakan("report", "--core", core, trace, status=2).stderr.decode()
        self.assertRegex(error, "was last written before the trace .* began; .*--core-at")

    # -- Retention ----------------------------------------------------------------------------------------------------

    def retention(self, core, trace):
        return json.loads(self.leakan("retention", "--format", "json", "--core", core, trace).stdout)

    def check_retention(self, case, data):
        truth = RETAINED[case]
        described = json.dumps(data["retention"], indent=1)[:4000]
        self.assertEqual(len(data["retention"]), 1, described)
        (entry,) = data["retention"]
        self.assertIn(entry["pattern"], truth.pattern.split(" or "), described)
        self.assertEqual(entry["blocks"], truth.blocks, described)
        self.assertLessEqual(truth.wasted[0], entry["wasted_bytes"], described)
        self.assertLessEqual(entry["wasted_bytes"], truth.wasted[1], described)
        self.assertTrue(entry["kept_by"], described)

    def test_retention_by_a_core_of_the_kernel(self):
        for case in ("alias", "arena_survivor", "reserve", "ring", "queue_burst"):
            with self.subTest(case):
                data = self.retention(*self.dump_crash([self.host("large_blocks"), case]))
                self.assertTrue(data["knows_pages"], "the file system of the test has no holes in files?")
                self.check_retention(case, data)
        for case in ("being_filled", "arena_in_use"):
            with self.subTest(case):
                self.assertEqual(self.retention(*self.dump_crash([self.host("large_blocks"), case]))["retention"], [])

    def test_retention_by_gcore(self):
        """It writes zeros for what was never touched, so nothing is called slack."""
        for case in ("arena_survivor", "cleared"):
            with self.subTest(case):
                self.check_retention(case, self.retention(*self.dump_waiting([self.host("large_blocks"), case])))
        data = self.retention(*self.dump_waiting([self.host("large_blocks"), "reserve"]))
        self.assertEqual((data["retention"], data["knows_pages"]), ([], False))
        self.assertTrue([words for words in data["limits"] if "nothing but zeros" in words], data["limits"])

    def test_a_core_that_lost_or_got_holes(self):
        """Then nothing is known of pages of zeros, and nothing is claimed."""
        core, trace = self.dump_crash([self.host("large_blocks"), "reserve"])
        self.check_retention("reserve", self.retention(core, trace))
        for sparse in ("always", "never"):
            copy = core.parent / f"copy.{sparse}"
            subprocess.run(["cp", f"--sparse={sparse}", core, copy], check=True)
            data = self.retention(copy, trace)
            self.assertEqual((data["retention"], data["knows_pages"]), ([], False), sparse)
        copy = core.parent / "copy.zst"
        subprocess.run(["zstd", "-q", core, "-o", copy], check=True)
        subprocess.run(["zstd", "-q", "-d", "--sparse", copy, "-o", core.parent / "copy.unpacked"], check=True)
        data = self.retention(core.parent / "copy.unpacked", trace)
        self.assertEqual((data["retention"], data["knows_pages"]), ([], False), "unpacked")

    # -- What is no core of the process -------------------------------------------------------------------------------

    def refusal(self, core, *traces):
        """What all commands say that take a core."""
        said = set()
        for command in ("report", "retention"):
            done = self.leakan(command, "--core", core, *traces, status=2)
            self.assertEqual(done.stdout, b"")
            (line,) = done.stderr.decode().splitlines()
            self.assertTrue(line.startswith("leakan: "), line)
            said.add(line)
        (line,) = said
        return line

    def write(self, data, name="core"):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def test_files_that_are_no_cores(self):
        run = self.run_traced([self.host("small_program")])
        trace = self.only_trace(run)
        self.assertIn("no such file", self.refusal(self.folder / "none", trace).lower())
        self.assertIn("no regular file", self.refusal(self.folder, trace))
        self.assertIn("is empty", self.refusal(self.write(b""), trace))
        self.assertIn("no core file", self.refusal(self.write(b"hello world" * 100), trace))
        self.assertIn("this is a trace", self.refusal(trace, trace))
        self.assertIn("program or a library", self.refusal("/bin/true", trace))
        self.assertIn("one trace", self.refusal("/bin/true", trace, trace))
        self.leakan("report", "--core-at", "1s", trace, status=2)
        self.leakan("report", "--core", "/bin/true", "--follow", trace, status=2)

    def test_a_core_of_another_process(self):
        """Both are named."""
        core, trace = self.dump_and_go_on()
        other = self.only_trace(self.run_traced([self.host("small_program")]))
        error = self.refusal(core, other)
        self.assertRegex(error, rf"core of process \d+ \(dumped\), but the trace {re.escape(str(other))} is of process "
                                r"\d+ \(.*small_program\)")

    def test_a_core_that_is_damaged(self):
        """Cut anywhere, or with other bits in its headers and notes: it is read as far as it goes, or refused."""
        core, trace = self.dump_and_go_on()
        size = core.stat().st_size
        with open(core, "rb") as file:
            notes = struct.unpack_from("<Q", file.read(4096), 64 + 8)[0]  # gcore writes them last
        generator = random.Random(4)
        for attempt in range(24):
            places = [generator.randrange(4096) if attempt % 2 else generator.randrange(notes, size)
                      for _ in range(1 + attempt % 8)]
            before = [flip(core, at, 1 << generator.randrange(8)) for at in places]
            self.read_damaged(core, trace, f"attempt {attempt}")
            for at, byte in reversed(list(zip(places, before))):
                flip(core, at, 0, byte)
        self.assertIsNotNone(self.read_damaged(core, trace, "repaired"))
        for length in [size - 1, notes + 5000, notes, size // 2, size // 3, 5000, 1000, 100, 64, 40, 1]:
            os.truncate(core, length)
            self.read_damaged(core, trace, f"cut at {length}")

    def test_a_core_of_the_kernel_that_was_cut(self):
        """It has its notes first: what there is of its memory is used, and what is missing is counted."""
        core, trace = self.dump_crash(self.command_of("class_blocks"))
        whole = core.stat().st_size
        with open(core, "rb") as file:
            first = next(offset for kind, offset in program_headers(file.read(1 << 16)) if kind == 1)
        for size in [first + (whole - first) * tenth // 10 for tenth in reversed(range(10))]:
            os.truncate(core, size)
            report = self.read_damaged(core, trace, f"cut at {size}")
            self.assertIsNotNone(report, size)
            self.assertGreater(report["snapshot"]["skipped_bytes"], 0)
            self.assertEqual(report["snapshot"]["skipped_bytes"], report["snapshot"]["core"]["missing_bytes"])

    def read_damaged(self, path, trace, what):
        """The report, or None where it is refused."""

        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

        done = subprocess.run([LEAKAN, "report", "--format", "json", "--core", path, trace], capture_output=True,
                              env=self.environment(), timeout=60, preexec_fn=limit)
        errors = done.stderr.decode(errors="replace").splitlines()
        self.assertIn(done.returncode, (0, 2), f"{what}: {errors}")
        if done.returncode == 0:
            return json.loads(done.stdout)
        self.assertEqual((done.stdout, len(errors)), (b"", 1), what)
        self.assertRegex(errors[0], rf"^leakan: {re.escape(str(path))}: offset \d+: .*; ", what)
        return None


def flip(path, at, bits, byte=None):
    """Changes bits of a byte of a file, or all of it; returns what it was. The file keeps its time."""
    times = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(at)
        before = file.read(1)[0]
        file.seek(at)
        file.write(bytes([before ^ bits if byte is None else byte]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return before


def program_headers(core):
    """(type, offset) of each segment."""
    at, count = struct.unpack_from("<Q", core, 32)[0], struct.unpack_from("<H", core, 56)[0]
    for i in range(count):
        kind, _, offset = struct.unpack_from("<IIQ", core, at + 56 * i)
        yield kind, offset


def add(name, test):
    setattr(Cores, "test_" + name, test)


def of_waiting(program):
    return lambda self: self.check_classes(program, *self.dump_waiting(self.command_of(program)))


def of_crash(program, how):
    return lambda self: self.check_classes(program, *self.dump_crash(self.command_of(program), how))


for program in COMMANDS:
    add(f"classes_of_{program}_that_waits", of_waiting(program))
    add(f"classes_of_{program}_that_aborts", of_crash(program, "abort"))
add("classes_of_class_roots_that_faults", of_crash("class_roots", "fault"))

if __name__ == "__main__":
    unittest.main()
