"""What the tests of hosts and real programs share: run traced and untraced, compare, read the report.

Every traced run checks, besides what its test states: `zstd -t` accepts each trace, its mode is 0600, and the program's
output, error output and exit status are those of the untraced run.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import unittest

SOURCE = pathlib.Path(os.environ.get("LEAKAN_SOURCE_ROOT", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("LEAKAN_BUILD_ROOT", SOURCE / "build"))
LEAKAN = os.environ.get("LEAKAN", str(BUILD / "analyzer/leakan"))
LIBLEAK = os.environ.get("LEAKAN_LIBLEAK", str(BUILD / "preload/libleak.so"))
HOSTS = BUILD / "tests/hosts"
DEFAULT_PATTERN = "leak.*.zst"

IS_ROOT = os.geteuid() == 0
SLOT_BYTES = 256 << 10
KILOBYTES_FOR_EVENTS = 256  # a slot: the least a trace takes on disk


def find_library(*names):
    """The path of a shared library of the distribution, or None."""
    listing = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    for name in names:
        found = re.search(rf"^\s*{re.escape(name)} .*=> (\S+)$", listing, re.M)
        if found:
            return found.group(1)
    return None


@dataclasses.dataclass
class Site:
    """One entry of `unfreed`: blocks of one stack."""

    blocks: int
    bytes: int
    kinds: frozenset
    frames: list  # names, innermost first
    raw: dict

    def __contains__(self, function):
        return any(names(frame, function) for frame in self.frames)


def names(frame, function):
    """Whether a frame's name is `function`, with or without namespace and arguments."""
    if frame is None:
        return False
    return re.search(rf"(^|[^A-Za-z0-9_~]){re.escape(function)}($|[^A-Za-z0-9_])", frame) is not None


class Report:
    """`leakan report --format json`."""

    def __init__(self, data):
        self.data = data
        self.trace = data["trace"]
        self.summary = data["summary"]
        self.sites = []
        for entry in data["unfreed"]:
            kinds = entry["kinds"]
            kinds = frozenset(kinds if isinstance(kinds, dict) else
                              [kind["kind"] if isinstance(kind, dict) else kind for kind in kinds])
            self.sites.append(Site(entry["blocks"], entry["bytes"], kinds,
                                   [frame.get("function") or "" for frame in entry["stack"]], entry))

    def sites_of(self, function):
        return [site for site in self.sites if function in site]

    def left(self, function):
        """(blocks, bytes) unfreed with this function in their stack."""
        sites = self.sites_of(function)
        return sum(site.blocks for site in sites), sum(site.bytes for site in sites)

    def kinds_of(self, function):
        return frozenset().union(*[site.kinds for site in self.sites_of(function)])

    def describe(self):
        lines = [json.dumps(self.summary)]
        lines += [f"{site.blocks} blocks {site.bytes} bytes {sorted(site.kinds)}: {' < '.join(site.frames[:12])}"
                  for site in self.sites[:40]]
        return "\n".join(lines)


@dataclasses.dataclass
class Run:
    status: int
    stdout: bytes
    stderr: bytes
    traces: list
    folder: pathlib.Path
    seconds: float


class LeakTest(unittest.TestCase):
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        for needed in (LEAKAN, LIBLEAK):
            if not os.path.exists(needed):
                raise AssertionError(f"{needed} is not built; run ninja first")

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="leakan-test."))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.runs = 0

    # -- Running ------------------------------------------------------------------------------------------------------

    def host(self, name):
        path = HOSTS / name
        self.assertTrue(path.exists(), f"{path} is not built")
        return str(path)

    def new_folder(self, name="run"):
        self.runs += 1
        folder = self.folder / f"{name}{self.runs}"
        folder.mkdir()
        return folder

    def environment(self, env=None):
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith("LEAK") and name not in ("LD_PRELOAD", "LD_LIBRARY_PATH", "DEBUGINFOD_URLS", "MALLOC_PERTURB_")}
        clean.update(LC_ALL="C.UTF-8", TZ="UTC")
        clean.update(env or {})
        return clean

    def run_plain(self, command, *, env=None, folder=None, timeout=120, stdin=subprocess.DEVNULL, stdout=None,
                  stderr=None, **options):
        """Runs `command` in a folder of its own; kills its whole process group when it takes too long."""
        folder = folder or self.new_folder("plain")
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=self.environment(env), stdin=stdin,
                                   stdout=subprocess.PIPE if stdout is None else stdout,
                                   stderr=subprocess.PIPE if stderr is None else stderr, start_new_session=True,
                                   **options)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            stacks = stacks_of_group(process.pid)
            os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            out, err = process.communicate()
            self.fail(f"{command} did not end within {timeout} s\nstdout: {out}\nstderr: {err}\n{stacks}")
        return Run(process.returncode, out, err, sorted(folder.glob(DEFAULT_PATTERN)), folder,
                   time.monotonic() - started)

    def traced_environment(self, env=None):
        merged = dict(env or {})
        merged["LD_PRELOAD"] = ":".join([LIBLEAK] + [p for p in [merged.get("LD_PRELOAD")] if p])
        return merged

    def run_traced(self, command, *, env=None, check_traces=True, **options):
        run = self.run_plain(command, env=self.traced_environment(env),
                             folder=options.pop("folder", None) or self.new_folder("traced"), **options)
        if check_traces:
            for trace in run.traces:
                self.check_trace_file(trace)
        return run

    def check_trace_file(self, trace):
        tested = subprocess.run(["zstd", "-t", "-q", trace], capture_output=True)
        self.assertEqual(tested.returncode, 0, f"zstd -t refuses {trace}: {tested.stderr}")
        status = os.lstat(trace)
        self.assertTrue(stat.S_ISREG(status.st_mode))
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o600, trace)

    def run_both(self, command, *, env=None, same_stderr=True, status=0, **options):
        """The traced run, after comparing it with an untraced one, which ends with `status`."""
        plain = self.run_plain(command, env=env, **options)
        self.assertEqual(plain.status, status, f"untraced {command}: {plain.stdout} {plain.stderr}")
        traced = self.run_traced(command, env=env, **options)
        self.assertEqual(traced.status, plain.status, f"exit status of {command}; stderr: {traced.stderr}"
                         f"\nstdout: {traced.stdout[-2000:] if traced.stdout else ''}")
        self.assertEqual(traced.stdout, plain.stdout, f"standard output of {command}")
        if same_stderr:
            self.assertEqual(traced.stderr, plain.stderr, f"standard error of {command}")
        return traced

    # -- Reading ------------------------------------------------------------------------------------------------------

    def leakan(self, *arguments, status=0, timeout=300, **options):
        done = subprocess.run([LEAKAN, *map(str, arguments)], env=self.environment(), capture_output=True,
                              timeout=timeout, **options)
        self.assertEqual(done.returncode, status, f"leakan {arguments}\n{done.stderr.decode(errors='replace')}"
                         f"\n{done.stdout[-2000:].decode(errors='replace')}")
        return done

    def report(self, trace, *arguments, timeout=300):
        text = self.leakan("report", "--format", "json", "--no-default-suppressions", "--top", 100000, "--depth", 1024,
                           *arguments, trace, timeout=timeout).stdout
        report = Report(json.loads(text))
        self.assertEqual(report.data["schema"], "leakan.report.v1")
        return report

    def dump(self, trace):
        return self.leakan("dump", trace).stdout.decode(errors="replace").splitlines()

    def only_trace(self, run):
        self.assertEqual(len(run.traces), 1, f"traces: {run.traces}; stderr: {run.stderr}")
        return run.traces[0]

    def report_of(self, run, *arguments):
        return self.report(self.only_trace(run), *arguments)

    def reports_by_args(self, run):
        """{arguments behind the program's name: report} of all traces of a run."""
        reports = {}
        for trace in run.traces:
            report = self.report(trace)
            reports.setdefault(" ".join(report.trace["args"][1:]), []).append(report)
        return reports

    # -- Stating ------------------------------------------------------------------------------------------------------

    def assert_left(self, report, function, blocks, bytes, kinds=None):
        self.assertEqual(report.left(function), (blocks, bytes),
                         f"unfreed (blocks, bytes) with {function} in the stack\n{report.describe()}")
        if kinds is not None and blocks:
            self.assertEqual(report.kinds_of(function), frozenset([kinds] if isinstance(kinds, str) else kinds),
                             function)

    def assert_sound(self, report, mismatches=0):
        """Nothing missing, nothing that does not fit."""
        self.assertEqual(report.summary["unmatched_releases"], 0, report.describe())
        self.assertEqual(report.summary["mismatches"], mismatches, report.describe())
        self.assertEqual(report.trace["gap_events"], 0)

    def assert_no_frames_of_ours(self, report):
        for site in report.sites:
            for frame in site.raw["stack"]:
                self.assertNotIn("libleak", os.path.basename(frame.get("module") or ""), site.frames)


def stacks_of_group(pid):
    """What the processes of a group that hangs were doing, as far as /proc says it."""
    lines = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[2]) != pid:
                continue
            for task in (entry / "task").iterdir():
                lines.append(f"{entry.name}/{task.name} {(task / 'comm').read_text().strip()} "
                             f"{(task / 'wchan').read_text()} {(task / 'syscall').read_text().strip()}")
        except (OSError, ValueError, IndexError):
            continue
    return "\n".join(lines)


def read_counters(path):
    """The counters of host.hpp's map_counters()."""
    data = pathlib.Path(path).read_bytes()
    return [int.from_bytes(data[at:at + 8], "little") for at in range(0, len(data), 64)]
