#!/usr/bin/env python3
"""Measures what capture costs and prints one table; --json FILE writes the figures too.

Every figure is a ratio of runs made side by side: each round runs the program untraced, under libleak.so and, where
installed, under `heaptrack -r` (capture alone), and the medians of the rounds are compared. A traced program takes a
snapshot at its end; whole programs are also run without it (LEAK_SNAPSHOT=off), which is what heaptrack's capture is to
be compared with. Folding is measured on whole runs, as what a ring that wraps adds to the writer's CPU time: a loop over
FoldState alone would leave out the decoding, which is most of it.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUILD = Path(os.environ.get("LEAKAN_BUILD_ROOT", Path(__file__).resolve().parents[2] / "build"))
PROGRAMS = Path(os.environ.get("LEAKAN_BENCH_PROGRAMS", BUILD / "tests" / "bench"))
LIBRARY = Path(os.environ.get("LEAKAN_LIBLEAK", BUILD / "preload" / "libleak.so"))
LEAKAN = Path(os.environ.get("LEAKAN", BUILD / "analyzer" / "leakan"))
HEAPTRACK = shutil.which("heaptrack")

CPP_SOURCE = """#include <regex>
#include <map>
#include <iostream>
int main() {
    std::map<std::string, int> counts;
    const std::regex word("[a-z]+(-[a-z]+)*");
    for (std::string line; std::getline(std::cin, line);)
        for (std::sregex_iterator i(line.begin(), line.end(), word), end; i != end; ++i) ++counts[i->str()];
    for (const auto& [text, count] : counts) std::cout << text << ' ' << count << '\\n';
}
"""
JSON_ROUND_TRIP = """
import json
table = {f"key {i}": [i, i / 3, str(i) * 3, {"nested": [None, True, i]}] for i in range(8000)}
text = json.dumps(table, sort_keys=True)
for _ in range(2):
    assert json.dumps(json.loads(text), sort_keys=True) == text
"""
SQL = """CREATE TABLE orders(id INTEGER PRIMARY KEY, client TEXT, cents INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
  INSERT INTO orders SELECT i, 'client ' || (i * 7919 % 5003), i * 31 % 100003 FROM n;
CREATE INDEX by_client ON orders(client, cents);
SELECT count(*), sum(cents) FROM orders;
"""


class Run:
    """One run of a program: what it printed, wall and CPU seconds, the bytes of its traces."""

    def __init__(self, command, tool, folder, settings=None, env=None, status=0):
        environment = {**os.environ, **(env or {})}
        for name in [name for name in environment if name.startswith("LEAK_")]:
            del environment[name]
        output = folder / "trace"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        if tool == "leakan":
            environment |= {"LD_PRELOAD": str(LIBRARY), "LEAK_OUT": f"{output}/%e.%p.zst", **(settings or {})}
        elif tool == "heaptrack":
            command = [HEAPTRACK, "-r", "-o", f"{output}/trace", *command]
        elif tool == "heaptrack, interpreted":
            command = [HEAPTRACK, "-o", f"{output}/trace", *command]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        done = subprocess.run([str(word) for word in command], cwd=folder, env=environment, capture_output=True, text=True)
        self.wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if done.returncode != status:
            raise SystemExit(f"bench: {command} under {tool} ended with {done.returncode}: {done.stderr[-2000:]}")
        self.stdout, self.stderr = done.stdout, done.stderr
        self.traces = sorted(output.iterdir())
        self.bytes = sum(trace.stat().st_size for trace in self.traces)


class Analysis:
    """One run of leakan: what it found, wall and CPU seconds, its peak memory."""

    def __init__(self, command, folder):
        output = folder / "analysis"
        start = time.monotonic()
        with open(output, "wb") as stdout:
            process = subprocess.Popen([str(word) for word in command], stdout=stdout)
            _, status, usage = os.wait4(process.pid, 0)
        self.wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"bench: {command} ended with {process.returncode}")
        self.cpu, self.peak_bytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
        self.result = json.loads(output.read_bytes())


class Bench:
    def __init__(self, rounds, blocks, folder):
        self.rounds, self.blocks, self.folder, self.rows = rounds, blocks, folder, []
        self.tools = ["untraced", "leakan"] + (["heaptrack"] if HEAPTRACK else [])

    def row(self, name, goal="", **figures):
        self.rows.append({"name": name, "goal": goal, **figures})
        text = "  ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                         for key, value in figures.items())
        print(f"{name:44} {text}{'   goal: ' + goal if goal else ''}", flush=True)

    def side_by_side(self, command, measure, variants):
        """Medians of measure(run) by variant; variants: name -> (tool, settings, env)."""
        values = {name: [] for name in variants}
        for _ in range(self.rounds):
            for name, (tool, settings, env) in variants.items():
                values[name].append(measure(Run(command, tool, self.folder, settings, env)))
        return {name: statistics.median(column) for name, column in values.items()}

    def all_tools(self, command, measure, env=None):
        return self.side_by_side(command, measure, {tool: (tool, None, env) for tool in self.tools})

    def compile_command(self):
        source, preprocessed = self.folder / "words.cpp", self.folder / "words.ii"
        if not preprocessed.exists():
            source.write_text(CPP_SOURCE)
            subprocess.run(["g++", "-std=c++17", "-E", source, "-o", preprocessed], check=True)
        compiler = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True, text=True).stdout.strip()
        return [compiler, "-quiet", "-O1", "-fpreprocessed", preprocessed, "-o", "/dev/null"]

    # -- the cases --

    def storm(self):
        for threads, depth, goal in ((1, 16, "<= 0.25"), (2, 16, "<= 0.1"), (8, 16, ""), (1, 4, ""), (1, 64, ""),
                                     (1, 120, "")):
            pairs = 1_000_000 if threads < 8 else 200_000
            ns = self.all_tools([PROGRAMS / "storm", pairs, depth, threads],
                                lambda run: float(re.search(r"ns/pair ([\d.]+)", run.stderr)[1]))
            figures = {"untraced_ns": ns["untraced"], "added_ns": ns["leakan"] - ns["untraced"]}
            if HEAPTRACK:
                figures["heaptrack_added_ns"] = ns["heaptrack"] - ns["untraced"]
                figures["ratio"] = figures["added_ns"] / figures["heaptrack_added_ns"]
            self.row(f"storm, depth {depth}, {threads} thread{'s' * (threads > 1)}, a pair", goal, **figures)

    def programs(self):
        (self.folder / "orders.sql").write_text(SQL)
        cases = [("cc1plus -O1", self.compile_command(), None, "<= 1.25"),
                 ("CPython, json round trip", ["/usr/bin/python3", "-c", JSON_ROUND_TRIP], {"PYTHONMALLOC": "malloc"},
                  "<= 1.5"),
                 ("sqlite3, an index over 200,000 rows", ["sqlite3", ":memory:", ".read orders.sql"], None, "")]
        for name, command, env, goal in cases:
            if shutil.which(str(command[0])) is None:
                self.row(name, "", skipped="not installed")
                continue
            variants = {tool: (tool, None) for tool in self.tools}
            variants["no snapshot"] = ("leakan", {"LEAK_SNAPSHOT": "off"})
            walls = {name: [] for name in variants}
            cpus = {name: [] for name in variants}
            for _ in range(self.rounds):
                # In any order: what runs behind a heavy one is slower, or not.
                for variant in random.sample(list(variants), len(variants)):
                    tool, settings = variants[variant]
                    run = Run(command, tool, self.folder, settings, env)
                    walls[variant].append(run.wall)
                    cpus[variant].append(run.cpu)
            wall = {variant: statistics.median(column) for variant, column in walls.items()}
            cpu = {variant: statistics.median(column) for variant, column in cpus.items()}
            figures = {"untraced_s": wall["untraced"], "wall": wall["leakan"] / wall["untraced"],
                       "without_snapshot": wall["no snapshot"] / wall["untraced"],
                       "cpu": cpu["leakan"] / cpu["untraced"],
                       "cpu_without_snapshot": cpu["no snapshot"] / cpu["untraced"]}
            if HEAPTRACK:
                figures |= {"heaptrack_wall": wall["heaptrack"] / wall["untraced"],
                            "heaptrack_cpu": cpu["heaptrack"] / cpu["untraced"]}
            self.row(name, goal, **figures)

    def redis(self):
        if shutil.which("redis-server") is None or shutil.which("redis-benchmark") is None:
            return self.row("redis-server under redis-benchmark", "", skipped="not installed")
        rates = {tool: [] for tool in ("untraced", "leakan")}
        for _ in range(self.rounds):
            for tool in rates:
                rates[tool].append(self.redis_rate(tool))
        rate = {tool: statistics.median(column) for tool, column in rates.items()}
        self.row("redis-server, requests under redis-benchmark", "", untraced_per_s=rate["untraced"],
                 slowdown=rate["untraced"] / rate["leakan"])

    def redis_rate(self, tool):
        socket = self.folder / "redis"
        env = dict(os.environ)
        if tool == "leakan":
            env |= {"LD_PRELOAD": str(LIBRARY), "LEAK_OUT": f"{self.folder}/redis.%p.zst"}
        server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""], env=env,
                                  cwd=self.folder, stdout=subprocess.DEVNULL)
        try:
            while not socket.exists():
                time.sleep(0.05)
            load = subprocess.run(["redis-benchmark", "-s", str(socket), "-n", "60000", "-c", "20", "-q", "-t",
                                   "set,lpush,hset"], capture_output=True, text=True, check=True)
            return statistics.mean(float(rate) for rate in re.findall(r"([\d.]+) requests per second", load.stdout))
        finally:
            server.terminate()
            server.wait()
            socket.unlink(missing_ok=True)
            for trace in self.folder.glob("redis.*.zst"):
                trace.unlink()

    def file_bytes(self):
        cases = [("storm, depth 16", [PROGRAMS / "storm", 2_000_000, 16], None, "<= 6"),
                 ("cc1plus -O1", self.compile_command(), None, "<= 4"),
                 ("CPython, json round trip", ["/usr/bin/python3", "-c", JSON_ROUND_TRIP], {"PYTHONMALLOC": "malloc"},
                  "<= 1.5")]
        for name, command, env, goal in cases:
            # How much is compressed depends on whether the writer gets a processor.
            bytes, snapshot_bytes = [], []
            for _ in range(self.rounds):
                run = Run(command, "leakan", self.folder, None, env)
                report = json.loads(subprocess.run([LEAKAN, "report", "--format", "json", "--top", "0", run.traces[0]],
                                                   capture_output=True, text=True, check=True).stdout)
                allocations = report["summary"]["allocations"]
                bytes.append(run.bytes / allocations)
                snapshot_bytes.append(self.snapshot_bytes(run) / allocations)
            figures = {"bytes": statistics.median(bytes), "most_bytes": max(bytes), "allocations": allocations,
                       "snapshot_bytes": statistics.median(snapshot_bytes)}
            if HEAPTRACK:
                figures["heaptrack_bytes"] = Run(command, "heaptrack", self.folder, None, env).bytes / allocations
            self.row(f"{name}: file bytes an allocation", goal, **figures)

        self.pair_bytes()

    def pair_bytes(self):
        """All events kept, against what heaptrack keeps when it has interpreted them."""
        pairs = 2_000_000
        command = [PROGRAMS / "storm", pairs, 16]
        figures = {"bytes": Run(command, "leakan", self.folder, {"LEAK_RING": "0"}).bytes / pairs}
        if HEAPTRACK:
            figures["heaptrack_bytes"] = Run(command, "heaptrack, interpreted", self.folder).bytes / pairs
            figures["ratio"] = figures["bytes"] / figures["heaptrack_bytes"]
        self.row("storm, depth 16: file bytes a pair, unbounded", "", **figures)

    def ring(self):
        """What it adds that old events are folded: a ring that wraps against a file that grows, run by run in turn."""
        pairs = 2_000_000
        unbounded, wrapping = {"LEAK_RING": "0"}, {"LEAK_RING": "8M"}
        for threads in (1, 2):
            command = [PROGRAMS / "storm", pairs, 16, threads]
            runs = {"untraced": [], "unbounded": [], "wrapping": []}
            for _ in range(max(self.rounds, 5)):
                for name, tool, settings in (("untraced", "untraced", None), ("unbounded", "leakan", unbounded),
                                             ("wrapping", "leakan", wrapping)):
                    run = Run(command, tool, self.folder, settings)
                    run.ns = float(re.search(r"ns/pair ([\d.]+)", run.stderr)[1])
                    if name != "untraced":
                        run.info = self.info(run)
                    runs[name].append(run)
                wrapped = runs["wrapping"][-1]
                wrapped.folded = sum(wrapped.info["events"].values()) - self.events_kept(wrapped)
            ns = {name: statistics.median(run.ns for run in column) for name, column in runs.items()}
            added = {name: ns[name] - ns["untraced"] for name in ("unbounded", "wrapping")}
            self.row(f"storm, ring of 8 MiB that wraps, {threads} thread{'s' * (threads > 1)}, a pair", "<= 1.25",
                     untraced_ns=ns["untraced"], unbounded_added_ns=added["unbounded"],
                     added_ns=added["wrapping"], ratio=added["wrapping"] / added["unbounded"])
            # All that folding takes: reading, decompressing, decoding, the merge, the state, and writing it.
            writer = {name: statistics.median(run.info["process"]["writer_cpu_ns"] for run in column)
                      for name, column in runs.items() if name != "untraced"}
            folded = statistics.median(run.folded for run in runs["wrapping"])
            self.row(f"folding, {threads} thread{'s' * (threads > 1)}: of the writer's CPU time", "",
                     events_per_s=folded / (writer["wrapping"] - writer["unbounded"]) * 1e9, events=folded,
                     writer_s=writer["wrapping"] / 1e9, unbounded_writer_s=writer["unbounded"] / 1e9)

    @staticmethod
    def info(run):
        return json.loads(subprocess.run([LEAKAN, "info", "--format", "json", run.traces[0]], capture_output=True,
                                         text=True, check=True).stdout)

    def snapshot_bytes(self, run):
        """Of the trace's file, those of the snapshot."""
        return sum(slot["used_bytes"] for slot in self.info(run)["slots"] if slot["kind"] == "snapshot")

    @staticmethod
    def events_kept(run):
        with subprocess.Popen([LEAKAN, "dump", run.traces[0]], stdout=subprocess.PIPE) as dump:
            return sum(1 for line in dump.stdout if not line.startswith(b"#"))

    def stages(self):
        pairs = 2_000_000
        measure = lambda run: float(run.stdout)
        variants = {"untraced": ("untraced", None, None), "stopped": ("leakan", {"LEAK_START": "off"}, None),
                    "traced": ("leakan", None, None), "fp": ("leakan", {"LEAK_UNWIND": "fp"}, None),
                    "libunwind": ("leakan", {"LEAK_UNWIND": "libunwind"}, None)}
        kinds = {kind: self.side_by_side([PROGRAMS / "calls", pairs, kind], measure, variants if kind == "pair" else
                                         {name: variants[name] for name in ("untraced", "stopped", "traced")})
                 for kind in ("pair", "malloc", "free", "realloc")}
        pair = kinds["pair"]
        stamp = self.side_by_side([PROGRAMS / "calls", pairs, "stamp"], measure, {"untraced": variants["untraced"]})
        # A release has no stack. (One frame by LEAK_DEPTH=1 would take longer than all by a way that is known.)
        record = 2 * (kinds["free"]["traced"] - kinds["free"]["stopped"])
        self.row("stage: forward (stopped), a pair", "", added_ns=pair["stopped"] - pair["untraced"])
        self.row("stage: stamps, a pair, where not shared", "", ns=stamp["untraced"])
        self.row("stage: record (two releases)", "", added_ns=record)
        for name, unwinder in (("stage: unwind, ~12 frames", "traced"), ("the same by frame pointers", "fp"),
                               ("the same by libunwind", "libunwind")):
            self.row(name, "", added_ns=pair[unwinder] - pair["stopped"] - record)
        run = Run([PROGRAMS / "calls", pairs, "pair"], "leakan", self.folder)
        self.row("stage: compress (writer's CPU), a pair", "", ns=self.info(run)["process"]["writer_cpu_ns"] / pairs)
        for kind in ("malloc", "free", "realloc"):
            self.row(f"{kind} alone", "", untraced_ns=kinds[kind]["untraced"],
                     stopped_added_ns=kinds[kind]["stopped"] - kinds[kind]["untraced"],
                     added_ns=kinds[kind]["traced"] - kinds[kind]["untraced"])

    def latency(self):
        for tool in ("untraced", "leakan"):
            worst = [json.loads(Run([PROGRAMS / "latency", 500_000], tool, self.folder).stdout)
                     for _ in range(self.rounds)]
            worst.sort(key=lambda run: run["longer_than_us"]["50"])
            run = worst[len(worst) // 2]
            self.row(f"latency, {tool}: calls of {run['calls']:,} longer than", "" if tool == "untraced" else
                     "50us: only the kernel's", **{f"{limit}us": count for limit, count in run["longer_than_us"].items()},
                     longest_us=run["longest_us"], preempted=run["preempted"], thread_start_us=run["thread_start_us"])


    def snapshots(self):
        """A big heap: how long its snapshots hold it up, beside a plain fork(), how fast they are, and what it takes to
        analyse the trace."""
        command = [PROGRAMS / "big_heap", self.blocks, 3]
        untraced, traced, analyses = [], [], {"report": [], "retention": []}
        for _ in range(self.rounds):
            untraced.append(json.loads(Run(command, "untraced", self.folder, status=-signal.SIGKILL).stdout))
            run = Run(command, "leakan", self.folder, status=-signal.SIGKILL)
            host = json.loads(run.stdout)
            host["snapshot_bytes"] = self.snapshot_bytes(run)
            for name, column in analyses.items():
                column.append(Analysis([LEAKAN, name, "--format", "json", run.traces[0]], self.folder))
            report = analyses["report"][-1].result
            host |= report["snapshot"] | {"lost": report["classes"]["blocks"]}
            traced.append(host)

        median = lambda hosts, name: statistics.median(host[name] for host in hosts)
        median_ms = lambda hosts, name: statistics.median(us for host in hosts for us in host[name]) / 1000
        mark_ms, fork_ms = median_ms(traced, "marks_us"), median_ms(traced, "forks_us")
        self.row(f"snapshot, {host['blocks']:,} blocks, {host['bytes'] / 1e9:.2g} GB: pause", "added <= 50 ms",
                 mark_ms=mark_ms, pause_ms=median(traced, "pause_ns") / 1e6, fork_ms=fork_ms,
                 untraced_fork_ms=median_ms(untraced, "forks_us"), added_ms=mark_ms - fork_ms, ratio=mark_ms / fork_ms)
        rates = [host["scanned_bytes"] / host["scan_ns"] * 1e3 for host in traced]
        self.row("the same: scan", "MB_per_s >= 500", MB_per_s=statistics.median(rates),
                 scan_s=median(traced, "scan_ns") / 1e9, file_MB=median(traced, "snapshot_bytes") / 1e6)
        for when in ("calm", "fork", "snapshot"):
            calls = [host[when] for host in traced]
            self.row(f"the same: another thread's calls, {when}", "", longest_us=median(calls, "longest_us"),
                     longer_than_50us=median(calls, "longer_than_50us"), calls=median(calls, "calls"))
        for name, column in analyses.items():
            self.row(f"the same: leakan {name}", "", wall_s=statistics.median(one.wall for one in column),
                     cpu_s=statistics.median(one.cpu for one in column),
                     peak_MB=statistics.median(one.peak_bytes for one in column) / 1e6)
        lost = [host["lost"]["unreachable"] + host["lost"]["indirect"] for host in traced]
        self.row("the same: blocks found to be lost", "", found=statistics.median(lost), forgotten=host["forgotten"])


CASES = ("storm", "ring", "programs", "redis", "file_bytes", "stages", "latency", "snapshots")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind, of which the median is taken")
    parser.add_argument("--blocks", type=int, default=5_000_000, help="blocks of the heap in the case snapshots")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("case", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    arguments = parser.parse_args()
    if not HEAPTRACK:
        print("bench: heaptrack is not installed: no comparison with it", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="leakan-bench-") as folder:
        bench = Bench(arguments.rounds, arguments.blocks, Path(folder))
        for case in arguments.case or CASES:
            getattr(bench, case)()
    if arguments.json:
        arguments.json.write_text(json.dumps({"schema": "leakan.bench.v1", "rounds": arguments.rounds,
                                              "rows": bench.rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
