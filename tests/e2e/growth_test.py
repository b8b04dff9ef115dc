"""`leakan growth`: its numbers computed again from the history of the trace, and real programs after their load."""

import itertools
import json
import math
import statistics
import subprocess
import time
import unittest

from leaktest import BUILD, LeakTest, names

MIB = 1 << 20


def state_at(history, at_ns):
    """Live bytes at a moment: the last sample up to it."""
    before = [point["live_bytes"] for point in history if point["at_ns"] <= at_ns]
    return before[-1] if before else 0


def least_in(history, from_ns, to_ns):
    return min([state_at(history, from_ns)] +
               [point["live_bytes"] for point in history if from_ns < point["at_ns"] <= to_ns])


def mann_kendall(values):
    """The one-sided p value of a rise."""
    s = sum((b > a) - (b < a) for a, b in itertools.combinations(values, 2))
    def term(n):
        return n * (n - 1) * (2 * n + 5)
    ties = [values.count(value) for value in set(values)]
    variance = (term(len(values)) - sum(map(term, ties))) / 18
    if variance == 0:
        return 1
    z = (s - (s > 0) + (s < 0)) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2)) / 2


def theil_sen(at, values):
    return statistics.median((b - a) / (t - s) for (s, a), (t, b) in itertools.combinations(zip(at, values), 2))


class GrowthTest(LeakTest):
    def growth(self, trace, *arguments):
        data = json.loads(self.leakan("growth", "--format", "json", *arguments, trace).stdout)
        self.assertEqual(data["schema"], "leakan.growth.v1")
        return data["growth"]

    def sites_of(self, growth, function):
        return [site for site in growth["sites"] if any(names(frame["function"], function) for frame in site["stack"])]


class Growth(GrowthTest):
    def orderd(self):
        run = self.run_traced([str(BUILD / "examples/orderd")], env={"LEAK_TICK": "0.1"})
        self.assertEqual(run.status, 0)
        return self.only_trace(run)

    def test_the_example_by_its_mark(self):
        growth = self.growth(self.orderd(), "--material", "16K")
        self.assertEqual([(phase["kind"], phase["source"]) for phase in growth["phases"]][:2],
                         [("load", "marks"), ("idle", "marks")])
        opened = self.sites_of(growth, "HealthCheck::run")
        self.assertEqual([site["verdict"] for site in opened if site["stacks"] == 1], ["growing"])
        self.assertEqual({site["verdict"] for site in self.sites_of(growth, "HeaderParser::parse")}, {"held"})

    def test_numbers_can_be_computed_again(self):
        trace = self.orderd()
        growth = self.growth(trace, "--material", "4K")
        timeline = json.loads(self.leakan("timeline", "--format", "json", "--top", "1000", trace).stdout)
        histories = {json.dumps(stack["stack"]): stack["history"] for stack in timeline["stacks"]}
        rules = growth["rules"]
        self.assertGreater(len(growth["sites"]), 4)
        verdicts = set()
        for site in growth["sites"]:
            history = histories[json.dumps(site["stack"])]
            for cycle in site["cycles"]:
                load_from, stop, end = cycle["load_from_ns"], cycle["load_stop_ns"], cycle["idle_to_ns"]
                self.assertEqual(cycle["bytes_before"], state_at(history, load_from))
                self.assertEqual(cycle["bytes_at_stop"], state_at(history, stop))
                self.assertEqual(cycle["bytes_at_end"], least_in(history, stop + int((end - stop) * 0.9), end))
                added, left = (cycle[name] - cycle["bytes_before"] for name in ("bytes_at_stop", "bytes_at_end"))
                if added < max(rules["material_bytes"], rules["material_share"] * cycle["bytes_at_stop"]):
                    self.assertIsNone(cycle["verdict"])
                else:
                    held = left >= rules["held_share"] * added
                    self.assertEqual(cycle["verdict"], "held" if held else "drained")
            trend = site["trend"]
            steps = len(trend["bytes"]) - 1
            at = [trend["from_ns"] + (trend["to_ns"] - trend["from_ns"]) * i // steps for i in range(steps + 1)]
            self.assertEqual(trend["bytes"], [state_at(history, moment) for moment in at])
            self.assertAlmostEqual(trend["p_value"], mann_kendall(trend["bytes"]), places=9)
            slope = theil_sen([moment / 1e9 for moment in at], trend["bytes"])
            self.assertAlmostEqual(trend["slope_bytes_per_s"], slope, delta=abs(slope) * 1e-3 + 1)
            self.check_verdict(site, rules)
            verdicts.add(site["verdict"])
        self.assertLessEqual({"growing", "held"}, verdicts)
        for moment in growth["process"]["at"]:
            self.assertEqual(moment["live_bytes"], state_at(timeline["heap"], moment["at_ns"]))

    def check_verdict(self, site, rules):
        left = site["bytes_at_end"] - site["bytes_before"]
        added = max(cycle["bytes_at_stop"] for cycle in site["cycles"]) - site["bytes_before"]
        if site["verdict"] == "growing":
            self.assertLess(site["p_value"], rules["most_p_value"])
            self.assertGreater(site["trend"]["slope_low_bytes_per_s"], 0)
        elif site["verdict"] in ("held", "plateau"):
            self.assertGreaterEqual(left, rules["held_share"] * added)
        elif site["verdict"] == "drained":
            self.assertTrue(left < rules["held_share"] * added or left < rules["material_bytes"])

    def test_phases_as_the_user_says_them(self):
        trace = self.orderd()
        growth = self.growth(trace, "--load-stop", "500ms")
        self.assertEqual([(phase["kind"], phase["from_ns"], phase["source"]) for phase in growth["phases"][:2]],
                         [("load", 0, "options"), ("idle", 500_000_000, "options")])
        growth = self.growth(trace, "--phase", "load=0.2..0.5s", "--phase", "idle=0.5..")
        self.assertEqual(growth["phases"][0]["from_ns"], 200_000_000)
        for arguments, words in ((("--load-stop", "soon"), "'soon' is not a time since the start"),
                                 (("--phase", "peak=1..2"), "not a phase"),
                                 (("--phase", "load=3..2"), "ends before it begins"),
                                 (("--phase", "load=1..2", "--phase", "idle=1.5.."), "overlap"),
                                 (("--phase", "load=99..100"), "none of the phases given lies in the run"),
                                 (("--phase", "load=1..2", "--load-stop", "2"), "either --load-stop or --phase")):
            self.assertIn(words, self.leakan("growth", *arguments, trace, status=2).stderr.decode())

    def test_two_moments_of_one_trace(self):
        trace = self.orderd()
        diff = json.loads(self.leakan("diff", "--format", "json", "--no-default-suppressions", "--at", "0.1", "--at",
                                      "1500ms", trace).stdout)
        timeline = json.loads(self.leakan("timeline", "--format", "json", "--top", "1000", trace).stdout)
        for side, at_ns in (("before", 100_000_000), ("after", 1_500_000_000)):
            self.assertEqual(diff[side]["at_ns"], at_ns)
            self.assertEqual(diff[side]["unfreed_bytes"], state_at(timeline["heap"], at_ns))
        histories = {json.dumps(stack["stack"]): stack["history"] for stack in timeline["stacks"]}
        for site in diff["sites"]:
            history = histories.get(json.dumps(site["stack"]))
            if history:
                self.assertEqual(site["bytes_before"], state_at(history, 100_000_000))
                self.assertEqual(site["bytes_after"], state_at(history, 1_500_000_000))
        text = self.leakan("diff", "--at", "0.1", "--at", "1.5s", trace).stdout.decode()
        self.assertIn("at 1.50 s: ", text)
        for arguments, words in ((("--at", "1", trace), "--at is given twice"),
                                 (("--at", "1", "--at", "2", trace, trace), "with one trace"),
                                 (("--at", "1", "--at", "99d", trace), "the run has lasted"),
                                 (("--at", "1", "--at", "2", "--by", "size", trace), "can't be combined with --at"),
                                 ((trace,), "diff takes two traces")):
            self.assertIn(words, self.leakan("diff", *arguments, status=2).stderr.decode())

    def test_time_to_the_limit_of_memory(self):
        script = "ulimit -v 8000000; exec " + str(BUILD / "tests/corpus/timers") + " leaks"
        run = self.run_traced(["/bin/sh", "-c", script], env={"LEAK_TICK": "0.1"})
        traces = [trace for trace in run.traces if "timers" in trace.name]
        growing = [site for site in self.growth(traces[0])["sites"] if site["verdict"] == "growing"]
        self.assertEqual(len(growing), 1)
        self.assertAlmostEqual(growing[0]["to_limit_ns"] / 1e9, 8000000 * 1024 / growing[0]["slope_bytes_per_s"],
                               delta=growing[0]["to_limit_ns"] / 1e9 * 0.02)
        self.assertIn("to the limit of memory at this rate", self.leakan("growth", traces[0]).stdout.decode())

    def test_text(self):
        trace = self.orderd()
        text = self.leakan("growth", "--color", "never", trace).stdout.decode()
        self.assertIn("GROWTH after load stop at", text)
        self.assertIn("as leak_mark() says", text)
        self.assertIn("HeaderParser::parse", text)
        report = self.leakan("report", "--color", "never", trace).stdout.decode()
        self.assertIn("GROWTH after load stop at", report)
        self.assertIn("growth", json.loads(self.leakan("report", "--format", "json", trace).stdout))


class RealPrograms(GrowthTest):
    def python(self, script):
        """A script may print how late the machine woke it, in seconds: of a load with a long hole nothing follows."""
        for _ in range(3):
            run = self.run_traced(["/usr/bin/python3", "-c", script],
                                  env={"PYTHONMALLOC": "malloc", "LEAK_TICK": "0.1"})
            self.assertEqual((run.status, run.stderr), (0, b""))
            if float(run.stdout or b"0") < 0.1:
                break
        return self.growth(self.only_trace(run), "--depth", "4")

    def test_python_with_a_dictionary_that_grows(self):
        growth = self.python("""
import time
rows = {}
late = 0
def serve(milliseconds, per_ms, keep):
    global late
    due = time.monotonic()
    for _ in range(milliseconds):
        for i in range(per_ms):
            text = 'row %d' % len(rows) * 20
            if keep: rows[len(rows)] = text
        due += 0.001
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
            late = max(late, time.monotonic() - due)
serve(1500, 40, True)
serve(100, 1, False)
time.sleep(2)
print(late)
""")
        self.assertEqual([phase["kind"] for phase in growth["phases"] if phase["kind"] in ("load", "idle")][-2:],
                         ["load", "idle"])
        held = [site for site in growth["sites"] if site["verdict"] == "held"]
        self.assertGreater(sum(site["bytes_at_end"] for site in held), 3 * MIB)
        self.assertEqual([site for site in growth["sites"] if site["verdict"] == "growing"], [])

    def test_redis_filled_and_flushed(self):
        """Nothing of what the keys took is left in the program; jemalloc keeps it for some seconds."""
        folder = self.new_folder("redis")
        socket = folder / "s"
        server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir",
                                   str(folder), "--logfile", "log"], cwd=folder, start_new_session=True,
                                  env=self.environment(self.traced_environment({"LEAK_TICK": "0.1"})))
        def cli(*arguments):
            return subprocess.run(["redis-cli", "-s", str(socket), *arguments], env=self.environment(),
                                  capture_output=True, text=True, timeout=60).stdout.strip()
        try:
            while cli("ping") != "PONG":
                self.assertIsNone(server.poll())
                time.sleep(0.05)
            time.sleep(1)
            script = "for i = 1, 4000 do redis.call('set', KEYS[1] .. i, string.rep('v', 500)) end return 'OK'"
            for part in range(20):
                self.assertEqual(cli("eval", script, "1", f"key{part}:"), "OK")
            time.sleep(0.5)
            self.assertEqual(cli("flushall"), "OK")
            time.sleep(2.5)
            server.kill()
        finally:
            server.kill()
            server.wait()
        trace = next(folder.glob("leak.redis-*.zst"))
        growth = self.growth(trace)
        self.assertIn("load", [phase["kind"] for phase in growth["phases"]])
        self.assertEqual(growth["phases"][-1]["kind"], "idle")
        drained = [site for site in growth["sites"] if site["verdict"] == "drained"]
        self.assertGreater(sum(site["bytes_at_stop"] for site in drained), 40 * MIB)
        for site in growth["sites"]:
            self.assertNotIn(site["verdict"], ("growing", "ratchet", "held", "climbing"), site)
        self.assertIn(growth["process"]["cause"], ("allocator", "returned"))
        self.assertRegex(self.leakan("growth", trace).stdout.decode(),
                         "its allocator, which is not glibc's|fell back to")

    def test_a_ring_that_has_wrapped_says_the_same(self):
        """Most of the load's events are folded by the end."""
        script = """
import time
rows = {}
for i in range(2_000_000):
    x = [None] * 60
    if i % 100 == 0: rows[i] = 'row %d ' % i * 20
    if i % 2000 == 0: time.sleep(0.0005)
time.sleep(2)
"""
        # Stored as they are, few events are folded at once, and the program never waits long enough to look idle.
        env = {"PYTHONMALLOC": "malloc", "LEAK_TICK": "0.1", "LEAK_RING": "8M", "LEAK_ZSTD_LEVEL": "0"}
        trace = self.only_trace(self.run_traced(["/usr/bin/python3", "-c", script], env=env))
        growth = self.growth(trace, "--depth", "4")
        info = json.loads(self.leakan("report", "--format", "json", trace).stdout)["trace"]
        self.assertGreater(info["folded_ns"], 0)
        held = [site for site in growth["sites"] if site["verdict"] == "held"]
        self.assertGreater(sum(site["bytes_at_end"] for site in held), 3 * MIB)
        load_rate = max(phase["rate_per_s"] for phase in growth["phases"] if phase["kind"] == "load")
        self.assertGreater(load_rate, 1e5)
        idle = [phase for phase in growth["phases"] if phase["kind"] == "idle"]
        # What was folded is known by the tick, so some of the load's last tick may count as idle: two, with the one
        # that the phases are found by.
        tick_s = json.loads(self.leakan("timeline", "--format", "json", trace).stdout)["tick_ns"] / 1e9
        idle_s = (idle[-1]["to_ns"] - idle[-1]["from_ns"]) / 1e9
        self.assertLess(idle[-1]["rate_per_s"] * idle_s, load_rate * 2 * tick_s)

    def test_sqlite_with_its_page_cache(self):
        growth = self.python("""
import sqlite3, time
db = sqlite3.connect('test.db')
db.execute('pragma cache_size = -2000')
db.execute('pragma journal_mode = off')
db.execute('create table t (a integer primary key, b text)')
for i in range(60000):
    db.execute('insert into t values (?, ?)', (i, 'text %d ' % i * 10))
    if i % 1000 == 0:
        db.commit()
        time.sleep(0.02)
db.commit()
for i in range(0, 60000, 20):
    db.execute('select b from t where a = ?', (i * 7919 % 60000,)).fetchall()
time.sleep(2)
""")
        pages = [site for site in growth["sites"] if any("pcache1" in frame["function"] for frame in site["stack"])]
        self.assertEqual([site for site in growth["sites"] if site["verdict"] == "growing"], [])
        self.assertTrue(all(site["verdict"] == "plateau" for site in pages), pages)


if __name__ == "__main__":
    unittest.main()
