"""LEAK_ZSTD_LEVEL: events are compressed where that takes nothing from the program, and what is stored as it is says
the same."""

import json
import os
import subprocess

from ring_account import AccountTest, read_truth

THREADS = 2
OPERATIONS = 400_000


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

    def test_without_a_writer_there_is_nobody_to_wait_for(self):
        self.assertEqual(self.work(LEAK_WRITER="inline")[1]["uncompressed_events"], 0)
