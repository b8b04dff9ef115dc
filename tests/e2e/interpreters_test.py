"""Interpreters and tools: the same output and exit status, and a report that names real functions."""

import os
import shutil
import subprocess
import unittest

from leaktest import LeakTest

JSON_ROUND_TRIP = """
import json, hashlib, sys
table = {f"key {i}": [i, i / 3, str(i) * 3, {"nested": [None, True, i]}] for i in range(8000)}
text = json.dumps(table, sort_keys=True)
for _ in range(2):
    again = json.dumps(json.loads(text), sort_keys=True)
    assert again == text
print(hashlib.sha256(again.encode()).hexdigest())
sys.stderr.write("done\\n")
sys.exit(7)
"""

SQL = """
CREATE TABLE orders(id INTEGER PRIMARY KEY, client TEXT, cents INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
  INSERT INTO orders SELECT i, 'client ' || (i * 7919 % 5003), i * 31 % 100003 FROM n;
CREATE INDEX by_client ON orders(client, cents);
SELECT count(*), sum(cents) FROM orders;
SELECT client, count(*), max(cents) FROM orders GROUP BY client ORDER BY 3 DESC, 1 LIMIT 5;
PRAGMA integrity_check;
.exit 5
"""

PERL = r"""
my %count; my @lines = map { join ' ', map { ($_ * 7919) % 997 } ($_ .. $_ + 20) } (1 .. 4000);
for (@lines) { $count{$_}++ for split / /; s/(\d+) (\d+)/$2-$1/g }
my @top = (sort { $count{$b} <=> $count{$a} || $a <=> $b } keys %count)[0 .. 9];
print "@top $lines[17]\n"; exit 3;
"""

BASH = r"""
declare -A seen; total=0
for i in {1..3000}; do key=k$((i * 7919 % 211)); seen[$key]=$((${seen[$key]:-0} + i)); total=$((total + i)); done
for key in $(printf '%s\n' "${!seen[@]}" | sort | head -n 5); do echo "$key ${seen[$key]}"; done
echo "$total" | { read -r n; echo "n=$n"; }
x=$(echo nested $(echo deeper)); echo "$x"; exit 4
"""


class Tools(LeakTest):
    def trace_of(self, run, exe):
        traces = [trace for trace in run.traces if trace.name.startswith(f"leak.{exe}")]
        self.assertEqual(len(traces), 1, run.traces)
        return traces[0]

    def check_names(self, report, *functions):
        named = {frame for site in report.sites for frame in site.frames if frame}
        for function in functions:
            self.assertTrue(any(function in name for name in named), f"{function} among {sorted(named)[:80]}")

    def check_sound(self, report, least_allocations):
        self.assertEqual(report.summary["unmatched_releases"], 0, report.describe()[:3000])
        self.assertEqual(report.summary["mismatches"], 0)
        self.assertEqual(report.trace["gap_events"], 0)
        self.assertGreater(report.summary["allocations"], least_allocations)

    def test_cpython_with_every_object_a_malloc(self):
        run = self.run_both(["/usr/bin/python3", "-c", JSON_ROUND_TRIP], env={"PYTHONMALLOC": "malloc"}, timeout=250,
                            status=7)
        self.assertEqual((run.status, run.stderr), (7, b"done\n"))
        report = self.report_of(run)
        self.check_sound(report, 300000)
        self.check_names(report, "PyDict_New", "PyEval_EvalCode", "Py_RunMain")

    def test_sqlite_builds_an_index_over_200000_rows(self):
        (self.folder / "orders.sql").write_text(SQL)
        run = self.run_both(["sqlite3", "-batch", "orders.db", ".read ../orders.sql"], timeout=250, status=5)
        self.assertTrue(run.stdout.endswith(b"ok\n"), run.stdout)
        trace = self.trace_of(run, "sqlite3")
        report = self.report(trace)
        self.check_sound(report, 1000)
        self.check_names(report, "sqlite3_exec")  # .exit leaves the database open

    def test_git_log_and_gc(self):
        stream = ["blob\nmark :1\ndata 5\nfirst\n"]
        for number in range(1, 120):
            text = f"line {number}\n" * (number % 50 + 1)
            message = f"Change {number}"
            stream.append(f"commit refs/heads/main\ncommitter A <a@example.org> {1700000000 + number} +0000\n"
                          f"data {len(message)}\n{message}\n"
                          f"M 100644 inline folder{number % 7}/file{number % 31}.txt\ndata {len(text)}\n{text}\n")
        (self.folder / "stream").write_text("".join(stream))
        script = """
            export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME=$PWD
            git init -q -b main repository && cd repository || exit 1
            git fast-import --quiet < ../../stream || exit 2
            git log --stat --format='%H %s' main || exit 3
            git gc --quiet || exit 4
            git fsck --no-progress || exit 5
            git count-objects -v | grep -v size
            exit 7
        """
        (self.folder / "t").mkdir()
        run = self.run_both(["/bin/sh", "-c", script], env={"LEAK_OUT": str(self.folder / "t" / "leak.%e.%p.zst")},
                            timeout=200, status=7)
        self.assertEqual(run.status, 7)
        traces = sorted((self.folder / "t").glob("leak.git.*.zst"))
        self.assertGreaterEqual(len(traces), 7)
        allocations, unmatched, gaps, named = 0, 0, 0, set()
        for trace in traces:
            self.check_trace_file(trace)
            report = self.report(trace)
            allocations += report.summary["allocations"]
            unmatched += report.summary["unmatched_releases"]
            gaps += report.trace["gap_events"]
            named |= {frame for site in report.sites for frame in site.frames if frame}
        self.assertGreater(allocations, 10000)
        self.assertEqual((unmatched, gaps), (0, 0))
        # git itself comes without symbols; the libraries' functions have names.
        self.assertTrue(any("libc_start" in name or "deflate" in name or "strdup" in name for name in named), named)

    def test_perl(self):
        run = self.run_both(["/usr/bin/perl", "-e", PERL], timeout=120, status=3)
        self.assertEqual(run.status, 3)
        report = self.report_of(run)
        self.check_sound(report, 10000)
        self.check_names(report, "Perl_safesysmalloc", "perl_parse")

    def test_bash(self):
        # bash brings its own malloc, and Debian builds it without.
        run = self.run_both(["/bin/bash", "-c", BASH], timeout=120, status=4)
        self.assertEqual(run.status, 4)
        traces = [trace for trace in run.traces if ".bash." in trace.name]
        self.assertGreaterEqual(len(traces), 4)  # itself and its subshells
        reports = [self.report(trace) for trace in traces]
        for report in reports:
            self.assertEqual(report.summary["unmatched_releases"], 0, report.describe()[:3000])
        self.check_names(max(reports, key=lambda report: report.summary["allocations"]), "xmalloc", "execute_command")

    def test_xz_with_two_threads(self):
        data = b"".join(b"%d %d\n" % (i, i * i % 100003) for i in range(400000))
        (self.folder / "data").write_bytes(data)
        run = self.run_both(["xz", "-T2", "--block-size=1MiB", "-2", "-c", "../data"], timeout=120)
        self.assertEqual(run.status, 0, run.stderr)
        unpacked = subprocess.run(["xz", "-dc"], input=run.stdout, capture_output=True)
        self.assertEqual(unpacked.stdout, data)
        report = self.report_of(run)
        self.check_sound(report, 10)
        self.assertGreaterEqual(report.summary["threads"], 3)
        self.assertRegex("\n".join(self.dump(self.only_trace(run))), "calloc|malloc")

    def test_a_pipeline_of_tools(self):
        script = ("seq 1 20000 | sort -rn | awk '{s += $1} END {print s, NR}'; "
                  "find / -maxdepth 1 | sort | head -n 3; sed -n '1,3p' /etc/passwd; date -u -d @0 +%F; "
                  "tar cf - -C /etc passwd | tar tf -; exit 9")
        run = self.run_both(["/bin/bash", "-c", script], timeout=120, status=9)
        self.assertEqual(run.status, 9)
        for trace in run.traces:
            report = self.report(trace)
            self.assertEqual(report.summary["unmatched_releases"], 0, (trace, report.describe()[:2000]))


assert shutil.which("sqlite3") and os.path.exists("/usr/bin/python3")

if __name__ == "__main__":
    unittest.main()
