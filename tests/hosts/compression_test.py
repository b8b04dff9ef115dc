"""LEAK_ZSTD_LEVEL: events are compressed where that takes nothing from the program, and what is stored as it is says
the same."""

import json
import os
import struct
import subprocess

from leaktest import SLOT_BYTES
from ring_account import AccountTest, read_truth

THREADS = 2
OPERATIONS = 400_000


def chunks_by_slot(trace):
    """Of each slot of events, where its chunks begin."""
    for slot in range(0, len(trace), SLOT_BYTES):
        if struct.unpack_from("<I", trace, slot + 32)[0] != 3:
            continue
        chunks = []
        at = 64
        while at < SLOT_BYTES:
            magic, content = struct.unpack_from("<II", trace, slot + at)
            if magic == 0x184D2A5B:
                chunks.append(at)
                content += struct.unpack_from("<I", trace, slot + at + 52)[0]
            at += 8 + content
        yield chunks


class Compression(AccountTest):
    def work(self, **env):
        """(bytes of the trace, its "file" in leakan info) of a sound run on one processor: nobody has one to spare."""
        one = {min(os.sched_getaffinity(0))}
        run = self.run_traced([self.host("ring_work"), "counters", str(THREADS), str(OPERATIONS), "5"], timeout=300,
                              env={"LEAK_RING": "0", "LEAK_SNAPSHOT": "off", **env},
                              preexec_fn=lambda: os.sched_setaffinity(0, one))
        self.assertEqual(run.status, 0, run.stdout + run.stderr)
        trace = self.only_trace(run)
        subprocess.run(["zstd", "-tq", str(trace)], check=True)
        report = self.report(trace)
        self.assert_account(report, read_truth(run.folder), THREADS)
        info = json.loads(self.leakan("info", "--format", "json", trace).stdout)
        return os.stat(trace).st_size, info["file"], report, trace

    def test_a_shared_processor_is_not_spent_on_compression(self):
        size, file, report, trace = self.work()
        events = report.summary["allocations"] + report.summary["releases"]
        self.assertGreater(file["uncompressed_events"], events // 2)
        self.assertIn("events left uncompressed", self.leakan("info", trace).stdout.decode())
        compressed_size, compressed_file, _, _ = self.work(LEAK_ZSTD_LEVEL="1")
        self.assertEqual(compressed_file["uncompressed_events"], 0)
        self.assertLess(compressed_size, size // 2)

    def test_never(self):
        _, file, report, _ = self.work(LEAK_ZSTD_LEVEL="0", LEAK_WRITER="inline")
        events = report.summary["allocations"] + report.summary["releases"]
        # All but what is in raw buffers yet.
        self.assertGreater(file["uncompressed_events"], events // 10 * 9)

    def test_what_the_program_writes_over_is_counted_and_the_ring_goes_on(self):
        times = 30
        for ring in ("0", str(8 << 20)):
            with self.subTest(ring=ring):
                run = self.run_traced([self.host("stray_writes"), str(times), "20000"],
                                      env={"LEAK_ZSTD_LEVEL": "0", "LEAK_SNAPSHOT": "off", "LEAK_RING": ring})
                self.assertEqual((run.status, run.stderr), (0, b""))
                done = 2 * int(run.stdout)
                info = json.loads(self.leakan("info", "--format", "json", self.only_trace(run)).stdout)
                missing = info["trace"]["gap_events"]
                self.assertGreater(missing, times * 100)
                self.assertLess(missing, done // 2)
                read = sum(info["events"].values())
                self.assertGreaterEqual(read + missing, done)
                self.assertLess(read + missing, done + 200)  # the C library's own

    def test_four_of_the_largest_buffers_fill_a_slot_each_in_pages_of_its_own(self):
        run = self.run_traced([self.host("ring_leak"), "400000", "0"],
                              env={"LEAK_ZSTD_LEVEL": "0", "LEAK_SNAPSHOT": "off", "LEAK_RING": "0",
                                   "LEAK_OVERFLOW": "drop"})  # no thread helps, and what it fills is of other sizes
        slots = list(chunks_by_slot(self.only_trace(run).read_bytes()))
        self.assertGreater(len(slots), 20)
        fitting = slots.count([64] + [buffer * (64 << 10) - 104 for buffer in (1, 2, 3)])
        self.assertGreaterEqual(fitting, len(slots) - 2)  # the last one is not full

    def test_without_a_writer_there_is_nobody_to_wait_for(self):
        self.assertEqual(self.work(LEAK_WRITER="inline")[1]["uncompressed_events"], 0)
