"""Servers: redis on jemalloc under load, and the example server of scripts/quickstart."""

import signal
import subprocess
import time
import unittest

from leaktest import BUILD, LeakTest, names


class Redis(LeakTest):
    """Over a socket in the test's own folder: nothing listens on the network."""

    def serve(self, traced):
        folder = self.new_folder("redis")
        socket = folder / "s"
        env = self.environment(self.traced_environment() if traced else None)
        server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "",
                                   "--appendonly", "no", "--dir", str(folder), "--logfile", "log",
                                   "--enable-debug-command", "yes"], cwd=folder, env=env,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            def cli(*arguments):
                return subprocess.run(["redis-cli", "-s", str(socket), *arguments], env=self.environment(),
                                      capture_output=True, text=True, timeout=60).stdout.strip()

            deadline = time.monotonic() + 30
            while cli("ping") != "PONG":
                self.assertLess(time.monotonic(), deadline, "redis-server does not answer")
                self.assertIsNone(server.poll())
                time.sleep(0.05)
            load = subprocess.run(["redis-benchmark", "-s", str(socket), "-n", "20000", "-c", "20", "-q", "-t",
                                   "set,get,lpush,hset,sadd"], env=self.environment(), capture_output=True, timeout=200)
            self.assertEqual(load.returncode, 0, load.stderr)
            cli("flushall")
            script = "for i = 1, 5000 do redis.call('set', 'key' .. i, string.rep('v', i % 300)) end return 'OK'"
            self.assertEqual(cli("eval", script, "0"), "OK")
            answers = [cli("dbsize"), cli("debug", "digest"), cli("strlen", "key299")]
            self.assertIn("Background saving started", cli("bgsave"))
            while "rdb_bgsave_in_progress:0" not in cli("info", "persistence"):
                time.sleep(0.05)
            answers += [cli("info", "persistence").split("rdb_last_bgsave_status:")[1].split()[0],
                        cli("info", "memory").split("mem_allocator:")[1].split()[0]]
            cli("shutdown", "nosave")
            out, err = server.communicate(timeout=60)
            return answers, server.returncode, out, err, folder
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGKILL)
                server.wait()

    def test_under_redis_benchmark(self):
        plain = self.serve(traced=False)
        traced = self.serve(traced=True)
        self.assertEqual(traced[:4], plain[:4])
        self.assertEqual(traced[1], 0)
        self.assertTrue(traced[0][-1].startswith("jemalloc"), traced[0])
        traces = sorted(traced[4].glob("leak.redis-*.zst"))
        self.assertEqual(len(traces), 2, "the server and the child of bgsave")
        reports = [self.report(trace) for trace in traces]
        server = max(reports, key=lambda report: report.summary["allocations"])
        self.assertGreater(server.summary["allocations"], 20000)
        self.assertEqual(server.trace["gap_events"], 0)
        for report in reports:
            self.assertEqual(report.summary["unmatched_releases"], 0, report.describe()[:3000])
        functions = {frame for site in server.sites for frame in site.frames if frame}
        for function in ("zmalloc", "setGenericCommand", "main"):
            self.assertTrue(any(function in name for name in functions), (function, sorted(functions)[:100]))
        # 5,000 keys are in the table: each has an entry.
        entries = [site for site in server.sites if any(names(frame, "dbAdd") for frame in site.frames)]
        self.assertGreaterEqual(sum(site.blocks for site in entries), 5000)


class Example(LeakTest):
    def test_the_leaks_of_the_bundled_server(self):
        run = self.run_both([str(BUILD / "examples/orderd")])
        self.assertEqual(run.stdout, b"orderd: 58500 orders, 1500 malformed requests, 6100 sessions\n")
        report = self.report_of(run)
        self.assert_sound(report)
        self.assertEqual(report.summary["threads"], 5)
        # A header that is lost is the header and its text.
        self.assert_left(report, "parse", 3000, sum(site.bytes for site in report.sites_of("parse")), "new")
        headers = [site for site in report.sites_of("parse") if site.bytes == site.blocks * 552]
        self.assertEqual(sum(site.blocks for site in headers), 1500)
        # Each session: the session, the list of articles, the node of the table (and texts that do not fit inside).
        reserved = [site for site in report.sites_of("open") if site.blocks and site.bytes == site.blocks * 256]
        self.assertEqual(sum(site.blocks for site in reserved), 6100)
        self.assertEqual(sum(site.blocks for site in reserved if "HealthCheck::run" in " ".join(site.frames)), 100)

    def test_the_pool_that_reports_its_own_blocks(self):
        run = self.run_both([str(BUILD / "examples/pool")])
        report = self.report_of(run)
        self.assert_left(report, "pool_take", 4, 400, "leak_alloc")
        self.assert_sound(report)


if __name__ == "__main__":
    unittest.main()
