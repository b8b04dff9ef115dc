"""Files that are no sound traces: one line that says what and where, exit status 2, or a report that counts the loss."""

import json
import os
import random
import re
import resource
import struct
import subprocess
import unittest

from leaktest import LEAKAN, LeakTest

MASK = (1 << 64) - 1
PRIMES = (11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261)


def without_times(summary):
    """The clock of a short run is calibrated when it is read: its times may differ by a millionth."""
    return {key: value for key, value in summary.items() if not key.endswith("_ns")}


def rotate(value, bits):
    return ((value << bits) | (value >> (64 - bits))) & MASK


def xxh64(data):
    """XXH64 with seed 0 (xxHash specification 0.1.1)."""
    p1, p2, p3, p4, p5 = PRIMES

    def step(lane, word):
        return rotate((lane + word * p2) & MASK, 31) * p1 & MASK

    at = 0
    if len(data) >= 32:
        lanes = [(p1 + p2) & MASK, p2, 0, -p1 & MASK]
        while at + 32 <= len(data):
            for i, word in enumerate(struct.unpack_from("<4Q", data, at)):
                lanes[i] = step(lanes[i], word)
            at += 32
        value = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            value = ((value ^ step(0, lane)) * p1 + p4) & MASK
    else:
        value = p5
    value = (value + len(data)) & MASK
    while at + 8 <= len(data):
        value = (rotate(value ^ step(0, struct.unpack_from("<Q", data, at)[0]), 27) * p1 + p4) & MASK
        at += 8
    if at + 4 <= len(data):
        value = (rotate(value ^ struct.unpack_from("<I", data, at)[0] * p1 & MASK, 23) * p2 + p3) & MASK
        at += 4
    for byte in data[at:]:
        value = rotate(value ^ byte * p5 & MASK, 11) * p1 & MASK
    value = (value ^ value >> 33) * p2 & MASK
    value = (value ^ value >> 29) * p3 & MASK
    return value ^ value >> 32


class BadInput(LeakTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # One trace for all: 20,200 allocations in compressed chunks and raw buffers.
        maker = cls("run_plain")
        maker.setUp()
        cls.addClassCleanup(maker.doCleanups)
        run = maker.run_traced([maker.host("many_events"), "counters", "20000"])
        cls.good = maker.only_trace(run).read_bytes()
        cls.good_report = maker.report_of(run)

    def write(self, data, name="trace.zst"):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def read(self, path, command="report"):
        """(status, stdout, error lines); a crash, a hang or a great appetite fails."""
        arguments = [command, "--format", "json"] if command == "report" else [command]

        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

        done = subprocess.run([LEAKAN, *arguments, str(path)], env=self.environment(), capture_output=True, timeout=60,
                              preexec_fn=limit)
        self.assertIn(done.returncode, (0, 2), f"{command}: {done.stderr.decode(errors='replace')}")
        return done.returncode, done.stdout, done.stderr.decode(errors="replace").splitlines()

    def assert_refused(self, path, *patterns):
        for command in ("report", "info", "dump"):
            status, out, errors = self.read(path, command)
            self.assertEqual((status, out), (2, b""), (command, errors))
            self.assertEqual(len(errors), 1, errors)
            self.assertTrue(errors[0].startswith("leakan: "), errors)
            self.assertIn(str(path), errors[0])
            for pattern in patterns:
                self.assertRegex(errors[0], pattern)

    def test_the_trace_is_good_before_anything_is_done_to_it(self):
        self.assertEqual(self.good_report.summary["allocations"], 20200)
        self.assertTrue(self.good_report.trace["complete"])

    def test_a_missing_file(self):
        self.assert_refused(self.folder / "none.zst", r"(?i)no such file")

    def test_a_directory(self):
        self.assert_refused(self.folder, r"(?i)directory|no(t a)? regular file")

    def test_a_file_that_may_not_be_read(self):
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        path = self.write(self.good)
        path.chmod(0)
        self.assert_refused(path, r"(?i)permission")

    def test_a_file_of_a_process_that_had_not_begun_its_trace(self):
        padding = struct.pack("<II", 0x184D2A5C, 4096 - 8) + bytes(4096 - 8)
        for begun in (bytes(4096), padding, 64 * padding):
            self.assert_refused(self.write(begun), r"offset 0", r"nothing in the file yet")

    def test_an_empty_file(self):
        self.assert_refused(self.write(b""), r"offset 0", r"(?i)empty")

    def test_foreign_files(self):
        for name, data in (("text", b"hello world\n" * 10000), ("elf", open("/bin/true", "rb").read()),
                           ("zeros", bytes(300000)), ("zstd", subprocess.run(
                               ["zstd", "-c"], input=b"abc" * 100000, capture_output=True).stdout), ("byte", b"x")):
            with self.subTest(name=name):
                self.assert_refused(self.write(data, name), r"offset \d+", r"(?i)not a .*trace|no .*trace|nothing in the file yet")

    def version_major(self):
        return struct.unpack_from("<H", self.good, 64 + 16)[0]

    def with_version(self, major, minor):
        data = bytearray(self.good)
        struct.pack_into("<HH", data, 64 + 16, major, minor)
        struct.pack_into("<I", data, 64 + 108, xxh64(bytes(data[64 + 16:64 + 108])) & 0xFFFFFFFF)
        return bytes(data)

    def test_the_checksum_here_is_the_one_of_the_format(self):
        self.assertEqual(self.with_version(*struct.unpack_from("<HH", self.good, 64 + 16)), self.good)

    def test_a_newer_version(self):
        newer = self.version_major() + 1
        self.assert_refused(self.write(self.with_version(newer, 0)), r"offset \d+", rf"version {newer}\.0",
                            rf"reads 1\.0 to {newer - 1}\.x; use")

    def test_a_newer_minor_version_is_read(self):
        report = self.report(self.write(self.with_version(self.version_major(), 77)))
        self.assertEqual(without_times(report.summary), without_times(self.good_report.summary))

    def test_a_header_with_a_wrong_checksum(self):
        data = bytearray(self.good)
        data[64 + 30] ^= 1
        self.assert_refused(self.write(data), r"offset \d+", r"(?i)header|checksum")

    def test_truncated_anywhere(self):
        generator = random.Random(1)
        sizes = [1, 7, 63, 64, 100, 4096, 65536, 131072, 131072 + 100, 262143, 262144, 262145, len(self.good) - 1]
        sizes += [generator.randrange(len(self.good)) for _ in range(25)]
        for size in sizes:
            with self.subTest(size=size):
                path = self.write(self.good[:size])
                status, out, errors = self.read(path)
                if status == 2:
                    self.assertEqual(len(errors), 1, errors)
                    self.assertRegex(errors[0], rf"^leakan: {re.escape(str(path))}: offset \d+: ")
                else:
                    report = json.loads(out)
                    allocations = report["summary"]["allocations"]
                    self.assertFalse(report["trace"]["complete"])
                    self.assertLessEqual(allocations, 20200)
                if size >= 262144:
                    self.assertEqual(status, 0, "the first slot is whole: there is something to report")

    def test_bits_flipped_anywhere(self):
        generator = random.Random(2)
        keys = ("allocations", "releases", "allocated_bytes", "peak_bytes")
        for attempt in range(150):
            data = bytearray(self.good)
            for _ in range(1 if attempt < 100 else 50):
                data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            path = self.write(data)
            status, out, errors = self.read(path)
            if status == 2:
                self.assertEqual(len(errors), 1, errors)
            else:
                report = json.loads(out)
                same = all(report["summary"][key] == self.good_report.summary[key] for key in keys)
                # Raw buffers have no checksum of their own (a thread writes them by plain stores): what is there is
                # taken, as far as it is well-formed. Everything else notices.
                if not same and report["trace"]["complete"]:
                    _, out, _ = self.read(self.write(self.without_raw_damage(data)))
                    report = json.loads(out)
                    same = all(report["summary"][key] == self.good_report.summary[key] for key in keys)
                    self.assertTrue(same or not report["trace"]["complete"], attempt)
        for command in ("info", "dump"):
            self.read(path, command)

    def without_raw_damage(self, data):
        """The damage outside of the frames of raw events and of the part of the header that changes."""
        data = bytearray(data)
        for at in (i for i in range(len(data)) if data[i] != self.good[i]):
            slot = at // 262144
            kind = struct.unpack_from("<I", self.good, slot * 262144 + 32)[0]
            within = at % 262144
            if kind == 2 or (slot == 0 and (within >= 131072 or 64 + 112 <= within < 64 + 200)):
                data[at] = self.good[at]
        return data

    def test_slots_of_random_bytes(self):
        generator = random.Random(3)
        for attempt in range(10):
            data = bytearray(self.good)
            slot = attempt % (len(data) // 262144)
            start = slot * 262144 + (4096 if slot == 0 else 64)
            data[start:start + 50000] = generator.randbytes(50000)
            status, out, _ = self.read(self.write(data))
            if status == 0:
                self.assertFalse(json.loads(out)["trace"]["complete"])

    def test_a_stretch_of_zeros(self):
        for start in range(262144, len(self.good), 262144):
            data = bytearray(self.good)
            data[start:start + 262144] = bytes(262144)
            self.read(self.write(data))


class Arguments(LeakTest):
    def run_leakan(self, *arguments, **options):
        return subprocess.run([LEAKAN, *arguments], capture_output=True, text=True, env=self.environment(), timeout=30,
                              **options)

    def test_help_and_version(self):
        for arguments in (["--help"], ["report", "--help"], ["diff", "--help"], ["run", "--help"], ["--version"]):
            done = self.run_leakan(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""), arguments)
            self.assertNotEqual(done.stdout, "")

    def test_wrong_arguments_are_status_2_and_say_why(self):
        for arguments in ([], ["nosuchcommand"], ["report"], ["report", "--nosuchoption", "x"], ["diff", "one"],
                          ["report", "--sort", "colour", "x"], ["report", "--top", "many", "x"],
                          ["report", "--format", "xml", "x"], ["run"]):
            with self.subTest(arguments=arguments):
                done = self.run_leakan(*arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertTrue(done.stderr.startswith("leakan: "), done.stderr)

    def test_an_output_that_cannot_be_written(self):
        run = self.run_traced([self.host("alloc_functions")])
        trace = str(self.only_trace(run))
        done = self.run_leakan("report", trace, "-o", "/nonexistent/report.txt")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^leakan: /nonexistent/report.txt: ")
        with open("/dev/full", "w") as full:
            done = subprocess.run([LEAKAN, "report", trace], stdout=full, stderr=subprocess.PIPE, text=True,
                                  env=self.environment())
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"(?i)^leakan: .*(space|write)")

    def test_a_reader_that_goes_away(self):
        run = self.run_traced([self.host("many_events"), "counters", "50000"])
        done = subprocess.run(f"{LEAKAN} dump {self.only_trace(run)} | head -n 1", shell=True, capture_output=True,
                              text=True, env=self.environment(), timeout=60)
        self.assertEqual(len(done.stdout.splitlines()), 1)
        self.assertEqual(done.stderr, "")


if __name__ == "__main__":
    unittest.main()
