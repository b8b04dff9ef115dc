"""A long run in a small ring: disk and memory stay what they are, and what leaked at its beginning is known at its end.

LEAKAN_SOAK_EVENTS and LEAKAN_SOAK_RING (a number and K, M or G) say how long and how small; scripts/soak sets them.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import time
import unittest

from ring_account import EARLY_BLOCKS, AccountTest, read_truth

EVENTS = int(os.environ.get("LEAKAN_SOAK_EVENTS", "4000000"))
RING = os.environ.get("LEAKAN_SOAK_RING", "8M")
RING_BYTES = int(RING[:-1]) << {"K": 10, "M": 20, "G": 30}[RING[-1]]
THREADS = 4
PERIOD = 0.2 if EVENTS >= 20_000_000 else 0.02
# The program's own memory is flat after its first moments: as many blocks of the same sizes come as go. What may still
# come late is of a fixed number: compressors for threads that find no buffer (at most 4 here, of 1.2 MiB each), the
# copies of raw buffers that a fold takes (64 KiB each), glibc's arenas growing by scattered blocks. Of a leak of one
# byte an event the long run would show 190 MiB.
TOLERANCE = 8 << 20
MIB = 1 << 20


@dataclasses.dataclass
class Sample:
    size: int  # of the file
    taken: int  # by it on the disk
    anonymous: int  # of the process
    mapped: int  # of files: resident


@dataclasses.dataclass
class Soak:
    seconds: float
    samples: list
    untraced: int  # anonymous memory of the program without libleak.so
    report: object
    info: dict
    truth: dict
    tids: dict


def resident(pid, what):
    """A line of /proc/PID/status in bytes; 0 when the process is gone."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


class LongRun(AccountTest):
    is_begun = False
    soak = None

    def setUp(self):
        super().setUp()
        if not LongRun.is_begun:  # one run, of which each case says one thing
            LongRun.is_begun = True
            LongRun.soak = self.measure()
            self.print_figures()
        self.assertIsNotNone(self.soak, "the run has failed")

    def start(self, folder, events, env):
        command = [self.host("ring_work"), "counters", str(THREADS), str(events // THREADS), "7", "small"]
        return subprocess.Popen(command, cwd=folder, env=self.environment(env))

    def measure(self):
        """Runs the program, the file and the memory watched."""
        process = self.start(self.new_folder(), max(EVENTS // 20, 1_000_000), {})
        untraced = 0
        while process.poll() is None:
            untraced = max(untraced, resident(process.pid, "RssAnon"))
            time.sleep(0.02)

        folder = self.new_folder()
        started = time.monotonic()
        process = self.start(folder, EVENTS, self.traced_environment({"LEAK_RING": RING, "LEAK_OUT": "trace.zst"}))
        samples = []
        trace = folder / "trace.zst"
        while process.poll() is None:
            time.sleep(PERIOD)
            if trace.exists():
                file = trace.stat()
                samples.append(Sample(file.st_size, file.st_blocks * 512, resident(process.pid, "RssAnon"),
                                      resident(process.pid, "RssFile") + resident(process.pid, "RssShmem")))
        seconds = time.monotonic() - started
        self.assertEqual(process.returncode, 0)
        self.check_trace_file(trace)
        tids = dict(map(int, line.split()) for line in (folder / "threads").read_text().splitlines())
        info = json.loads(self.leakan("info", "--format", "json", trace).stdout)
        return Soak(seconds, [sample for sample in samples if sample.anonymous], untraced, self.report(trace), info,
                    read_truth(folder), tids)

    # -- What holds --

    def test_the_file_is_never_larger_than_the_ring(self):
        self.assertGreaterEqual(len(self.soak.samples), 10)
        self.assertLessEqual(max(sample.size for sample in self.soak.samples), RING_BYTES)
        self.assertLessEqual(max(sample.taken for sample in self.soak.samples), RING_BYTES)

    def test_memory_does_not_grow_with_the_run(self):
        for what in ("anonymous", "mapped"):
            warm, end = self.memory(what)
            self.assertLessEqual(end, warm + TOLERANCE, f"{what} memory: {warm} after warm-up, {end} at the end")

    def test_the_leaks_of_its_first_second_are_named(self):
        report = self.soak.report
        for thread, tid in self.soak.tids.items():
            (site,) = report.sites_of(f"early_leak<{thread}>")
            self.assertEqual((site.blocks, site.bytes), (EARLY_BLOCKS, EARLY_BLOCKS * (1000 + thread)))
            self.assertEqual(site.raw["threads"], [tid])
            self.assertGreater(site.raw["first_ns"], 0)
            self.assertLess(site.raw["last_ns"], 1_000_000_000)
            self.assertIn("work", site)
        self.assertGreater(report.trace["folded_ns"], 1_000_000_000 if EVENTS >= 20_000_000 else 0)

    def test_its_own_account_is_in_the_report(self):
        self.assert_account(self.soak.report, self.soak.truth, THREADS)
        self.assertTrue(self.soak.report.trace["complete"])

    def memory(self, what):
        """The most of the run's second quarter, when all is warm, and of its last."""
        values = [getattr(sample, what) for sample in self.soak.samples]
        quarter = len(values) // 4
        return max(values[quarter:2 * quarter]), max(values[-quarter:])

    def print_figures(self):
        soak = self.soak
        events = sum(soak.info["events"].values())
        print(f"\n{events:,} events of {THREADS} threads in {soak.seconds:.1f} s: {events / soak.seconds:,.0f}/s; "
              f"the ring ({RING}) has those since {soak.report.trace['folded_ns'] / 1e9:.1f} s")
        print(f"file: at most {max(s.size for s in soak.samples) / MIB:.2f} MiB, on the disk "
              f"{max(s.taken for s in soak.samples) / MIB:.2f} MiB, in {len(soak.samples)} looks")
        for what in ("anonymous", "mapped"):
            print("{} memory: {:.1f} MiB after warm-up, {:.1f} MiB at the end".format(
                what, *(bytes / MIB for bytes in self.memory(what))), end="")
            print(f"; untraced {soak.untraced / MIB:.1f} MiB" if what == "anonymous" else "", flush=True)


if __name__ == "__main__":
    unittest.main()
