#!/usr/bin/env python3
"""Says how often `leakan growth` and `leakan retention` are right: runs programs traced and compares with their truth.

The truth is in cases.py and retention_cases.py.

A case passes when its verdicts, phases, cause and pins, or its patterns, are all right. The last line is
`cases: N passed, N failed`; the exit status is 1 where precision or recall, of a verdict of growth or of all patterns
of retention, is below 0.95 or something grows in a clean program.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from cases import CASES, NONE
from leaktest import BUILD, LEAKAN, LIBLEAK, names
from retention_cases import RETENTION_CASES, RetentionCase

VERDICTS = ("growing", "held", "drained", "ratchet", "plateau", "climbing")
PATTERNS = ("pinned", "slack", "outgrown", "idle", "survivor")
ENOUGH = 0.95
NOTABLE_BYTES = 64 << 10  # a site without a label and with less is not looked at
SIGKILL_STATUS = -9
STARVED_MS = 100  # that a sleep of the program's goes on too long; a load has a second or more
RECORDINGS = 3


# -- Recording ---------------------------------------------------------------------------------------------------------

def trace_path(folder, case):
    return folder / f"{case.name}.zst"


def phases_path(folder, case):
    return folder / f"{case.name}.phases"


def record(case, folder):
    """Runs a case: FOLDER/NAME.zst and, of the loads as they were, FOLDER/NAME.phases."""
    for path in (trace_path(folder, case), phases_path(folder, case)):
        path.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("LEAK", "CORPUS", "MALLOC_", "GLIBC_")) and name != "LD_PRELOAD"}
    environment.update(LD_PRELOAD=LIBLEAK, LEAK_OUT=str(trace_path(folder, case)),
                       CORPUS_PHASES=str(phases_path(folder, case)), **case.environment)
    if case.marks:
        environment["CORPUS_MARKS"] = "1"
    if case.killed:
        environment["CORPUS_KILLED"] = "1"
    program, *arguments = case.command.split()
    done = subprocess.run([BUILD / "tests/corpus" / program, *arguments], cwd=folder, env=environment, timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    wanted = SIGKILL_STATUS if case.killed else 0
    if done.returncode != wanted or done.stderr:
        raise RuntimeError(f"{case.name}: status {done.returncode} instead of {wanted}\n{done.stderr}")


def noted(folder, case, what):
    """Lines "WHAT NUMBER ..." that the program has written, as numbers."""
    path = phases_path(folder, case)
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [[int(number) for number in numbers] for word, *numbers in lines if word == what]


def true_loads_ns(folder, case):
    return [tuple(time * 1_000_000 for time in load) for load in noted(folder, case, "load")]


def was_starved(folder, case):
    """The machine was busy with something else: the program slept where its script has it work."""
    return any(late >= STARVED_MS for late, in noted(folder, case, "late"))


def record_undisturbed(case, folder):
    """Of a recording that was starved nothing follows; so it is made again, but not for ever."""
    for attempt in range(RECORDINGS):
        record(case, folder)
        if not was_starved(folder, case):
            return
        print(f"        {case.name}: the machine was busy, recording {attempt + 1} of {RECORDINGS}", flush=True)


# -- Judging -----------------------------------------------------------------------------------------------------------

Verdict = collections.namedtuple("Verdict", "function expected found site")  # of one label, or of a site without


class Outcome:
    """What was found of one case, beside what is true."""

    def __init__(self, case, growth, loads_ns):
        self.case = case
        self.growth = growth
        self.verdicts = [*self.judge_labels(), *self.judge_others()]
        self.phases = self.judge_phases(loads_ns)
        self.process = self.judge_process()

    def label_of(self, site):
        return next((function for frame in site["stack"] for function in self.case.truth
                     if names(frame["function"], function)), None)

    def judge_labels(self):
        for function, truth in self.case.truth.items():
            site = max((site for site in self.growth["sites"] if self.label_of(site) == function), key=most_bytes,
                       default=None)
            yield Verdict(function, allowed(truth), site["verdict"] if site else NONE, site)

    def judge_others(self):
        """Accusations of sites that have no label, or are not the one that decides for their label."""
        decisive = [id(verdict.site) for verdict in self.judge_labels()]
        for site in self.growth["sites"]:
            expected = allowed(self.case.truth.get(self.label_of(site), NONE))
            if id(site) not in decisive and most_bytes(site) >= NOTABLE_BYTES and site["verdict"] not in expected:
                yield Verdict("other: " + innermost(site), allowed(NONE), site["verdict"], site)

    def judge_phases(self, true_ns):
        """What is wrong: each load must be found, and its stop within 5 % of the run or 150 ms."""
        phases = self.growth["phases"]
        end_ns = max((phase["to_ns"] for phase in phases), default=0)
        near_ns = max(end_ns // 20, 150_000_000)
        found_ns = [phase["to_ns"] for phase in phases if phase["kind"] == "load"]
        if not true_ns and all(stop_ns >= end_ns - near_ns for stop_ns in found_ns):
            return []  # an even rate all the time: that may be called load or rest
        near = len(true_ns) == len(found_ns) and all(
            -near_ns - self.case.stop_slack_ms * 1_000_000 <= found - true <= near_ns
            for (_, true), found in zip(true_ns, found_ns))
        return [] if near else [f"load stops at {seconds(stop for _, stop in true_ns)}, found {seconds(found_ns)}"]

    def judge_process(self):
        """[(what, expected, found)] of cause and pins, where the case says them."""
        judged = []
        if self.case.cause:
            judged.append(("cause", self.case.cause, self.growth["process"]["cause"]))
        if self.case.pins:
            sites = (self.growth["fragmentation"] or {}).get("sites") or []
            pinned = sites and any(names(frame["function"], self.case.pins) for frame in sites[0]["stack"])
            judged.append(("pins", self.case.pins,
                           self.case.pins if pinned else innermost(sites[0]) if sites else "nothing"))
        return judged

    def rises_though_clean(self, verdicts=("growing", "ratchet", "climbing")):
        return self.case.clean and any(site["verdict"] in verdicts for site in self.growth["sites"])

    def is_right(self):
        return (all(is_right(verdict) for verdict in self.verdicts) and not self.phases and
                all(expected == found for _, expected, found in self.process) and not self.rises_though_clean())

    def print(self):
        print(f"{'ok    ' if self.is_right() else 'WRONG '}  {self.case.name}")
        for verdict in self.verdicts:
            print_verdict(verdict)
        for what, expected, found in self.process:
            print(f"    {' ' if expected == found else '!'} {what}: {expected}, found {found}")
        for wrong in self.phases:
            print(f"    ! {wrong}")
        if self.rises_though_clean():
            print("    ! something rises in a clean program")


class RetentionOutcome:
    """The same of a case of retention: one verdict, a pattern, for each function and for each other entry."""

    def __init__(self, case, entries):
        self.case = case
        self.verdicts = [*self.judge_labels(entries), *self.judge_others(entries)]

    def label_of(self, entry):
        return next((function for frame in entry["stack"] for function in self.case.truth
                     if names(frame["function"], function)), None)

    def judge_labels(self, entries):
        for function, truth in self.case.truth.items():
            entry = next((entry for entry in entries if self.label_of(entry) == function), None)
            yield Verdict(function, allowed(truth), entry["pattern"] if entry else NONE, entry)

    def judge_others(self, entries):
        decisive = [id(verdict.site) for verdict in self.judge_labels(entries)]
        for entry in entries:
            if id(entry) not in decisive:
                yield Verdict("other: " + innermost(entry), frozenset([NONE]), entry["pattern"], entry)

    def is_right(self):
        return all(is_right(verdict) for verdict in self.verdicts)

    def print(self):
        print(f"{'ok    ' if self.is_right() else 'WRONG '}  {self.case.name}")
        for verdict in self.verdicts:
            print_verdict(verdict)


def print_verdict(verdict):
    right = is_right(verdict)
    print(f"    {' ' if right else '!'} {verdict.function}: {' or '.join(sorted(verdict.expected))}, "
          f"found {verdict.found}")
    if not right and verdict.site:
        print(f"        {json.dumps({key: value for key, value in verdict.site.items() if key != 'stack'})}")


def allowed(truth):
    verdicts = {truth} if isinstance(truth, str) else set(truth)
    return frozenset(verdicts | ({NONE, "drained", "plateau"} if NONE in verdicts else set()))


def is_right(verdict):
    return verdict.found in verdict.expected


def most_bytes(site):
    return max(site["bytes_before"], site["bytes_at_stop"], site["bytes_at_end"])


def innermost(site):
    return next((frame["function"] for frame in site["stack"] if frame["function"]), "?")


def seconds(times_ns):
    return [round(time / 1e9, 2) for time in times_ns]


def analyse(case, folder):
    command = "retention" if isinstance(case, RetentionCase) else "growth"
    done = subprocess.run([LEAKAN, command, "--format", "json", trace_path(folder, case)], capture_output=True,
                          text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{case.name}: leakan {command}: status {done.returncode}\n{done.stderr}")
    data = json.loads(done.stdout)
    assert data["schema"] == f"leakan.{command}.v1", data["schema"]
    if command == "retention":
        return RetentionOutcome(case, data["retention"])
    return Outcome(case, data["growth"], true_loads_ns(folder, case))


# -- Counting ----------------------------------------------------------------------------------------------------------

def ratio(part, whole):
    return part / whole if whole else 1.0


def print_score(name, judged, verdicts):
    """Whether precision and recall of these verdicts together are enough."""
    right = sum(is_right(verdict) and verdict.found in verdicts for verdict in judged if NONE not in verdict.expected)
    false = sum(not is_right(verdict) and verdict.found in verdicts for verdict in judged)
    # Where several verdicts are right and none of them was found, each of them was missed.
    missed = sum(not is_right(verdict) and not verdict.expected.isdisjoint(verdicts) for verdict in judged
                 if NONE not in verdict.expected)
    precision, recall = ratio(right, right + false), ratio(right, right + missed)
    print(f"{name:10} {right + missed:6} {right + false:6} {right:6} {precision:10.3f} {recall:7.3f}")
    return precision >= ENOUGH and recall >= ENOUGH


def print_scores(outcomes):
    """Whether precision and recall are enough."""
    judged = [verdict for outcome in outcomes for verdict in outcome.verdicts]
    print(f"\n{'verdict':10} {'sites':>6} {'found':>6} {'right':>6} {'precision':>10} {'recall':>7}")
    good = all([print_score(name, judged, {name}) for name in VERDICTS])
    print(f"phases found right: {sum(not outcome.phases for outcome in outcomes)} of {len(outcomes)}")
    for kind in ("cause", "pins"):
        known = [expected == found for outcome in outcomes for what, expected, found in outcome.process if what == kind]
        print(f"{kind} right: {sum(known)} of {len(known)}")
    return good


def print_retention_scores(outcomes):
    """The same of retention, by all patterns together: there are few cases of each."""
    judged = [verdict for outcome in outcomes for verdict in outcome.verdicts]
    print(f"\n{'pattern':10} {'sites':>6} {'found':>6} {'right':>6} {'precision':>10} {'recall':>7}")
    for name in PATTERNS:
        print_score(name, judged, {name})
    return print_score("retention", judged, set(PATTERNS))


def main():
    parser = argparse.ArgumentParser(prog="scripts/accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", metavar="NAME", help="only this one; may be repeated")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="keep the traces")
    where.add_argument("--trace-only", type=pathlib.Path, metavar="FOLDER", help="record the traces, no more")
    where.add_argument("--from", type=pathlib.Path, metavar="FOLDER", dest="recorded", help="analyse what is recorded")
    options = parser.parse_args()
    all_cases = [*CASES, *RETENTION_CASES]
    unknown = set(options.case or []) - {case.name for case in all_cases}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    cases = [case for case in all_cases if not options.case or case.name in options.case]

    folder = options.keep or options.trace_only or options.recorded
    temporary = None if folder else pathlib.Path(tempfile.mkdtemp(prefix="leakan-accuracy."))
    folder = (folder or temporary).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with concurrent.futures.ThreadPoolExecutor((os.cpu_count() or 1) + 2) as pool:
            if not options.recorded:
                list(pool.map(lambda case: record_undisturbed(case, folder), cases))
            if options.trace_only:
                return 0
            outcomes = list(pool.map(lambda case: analyse(case, folder), cases))
    finally:
        if temporary:
            shutil.rmtree(temporary)

    for outcome in outcomes:
        outcome.print()
    growth = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    retention = [outcome for outcome in outcomes if isinstance(outcome, RetentionOutcome)]
    good = [print_scores(growth), print_retention_scores(retention)]
    passed = sum(outcome.is_right() for outcome in outcomes)
    print(f"cases: {passed} passed, {len(outcomes) - passed} failed", flush=True)
    return 0 if all(good) and not any(outcome.rises_though_clean(["growing"]) for outcome in growth) else 1


if __name__ == "__main__":
    sys.exit(main())
