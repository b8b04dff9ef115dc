"""LEAK_ variables: names of traces, which processes are traced, and what is said about mistakes."""

import os
import pty
import re
import stat
import subprocess

from leaktest import LEAKAN, LeakTest


class OutputName(LeakTest):
    def run_small(self, pattern=None, name="alloc_functions", **options):
        env = options.pop("env", {})
        if pattern is not None:
            env["LEAK_OUT"] = str(pattern)
        return self.run_traced([self.host(name)], env=env, **options)

    def test_the_default_is_in_the_working_directory(self):
        run = self.run_small()
        trace = self.only_trace(run)
        self.assertRegex(trace.name, r"^leak\.alloc_functions\.[0-9]+\.zst$")
        report = self.report(trace)
        self.assertEqual(trace.name, f"leak.alloc_functions.{report.trace['pid']}.zst")
        self.assertEqual(os.listdir(run.folder), [trace.name])

    def test_patterns(self):
        run = self.run_small("%%x-%e-%p-%t.trace")
        (name,) = os.listdir(run.folder)
        self.assertRegex(name, r"^%x-alloc_functions-[0-9]+-[0-9]{10}\.trace$")
        report = self.report(run.folder / name)
        self.assertIn(f"-{report.trace['pid']}-", name)
        self.assertEqual(report.trace["start_unix_ns"] // 10**9, int(name.split("-")[3].split(".")[0]))

    def test_an_absolute_path_in_another_directory(self):
        folder = self.new_folder("elsewhere")
        run = self.run_small(folder / "here.zst")
        self.assertEqual(os.listdir(folder), ["here.zst"])
        self.assertEqual(run.stderr, b"")
        self.check_trace_file(folder / "here.zst")

    def test_an_existing_file_is_never_overwritten(self):
        folder = self.new_folder()
        (folder / "taken.zst").write_bytes(b"precious")
        self.run_small("taken.zst", folder=folder)
        self.run_small("taken.zst", folder=folder)
        self.assertEqual((folder / "taken.zst").read_bytes(), b"precious")
        self.assertEqual(sorted(os.listdir(folder)), ["taken.1.zst", "taken.2.zst", "taken.zst"])
        for name in ("taken.1.zst", "taken.2.zst"):
            self.assert_left(self.report(folder / name), "by_malloc", 1, 101)

    def test_a_symbolic_link_is_not_followed(self):
        folder = self.new_folder()
        (folder / "victim").write_bytes(b"precious")
        (folder / "link.zst").symlink_to(folder / "victim")
        (folder / "dangling.zst").symlink_to(folder / "never")
        self.run_small("link.zst", folder=folder)
        self.run_small("dangling.zst", folder=folder)
        self.assertEqual((folder / "victim").read_bytes(), b"precious")
        self.assertFalse((folder / "never").exists())
        self.assert_left(self.report(folder / "link.1.zst"), "by_malloc", 1, 101)
        self.assert_left(self.report(folder / "dangling.1.zst"), "by_malloc", 1, 101)

    def test_a_fifo_is_not_opened(self):
        folder = self.new_folder()
        os.mkfifo(folder / "pipe.zst")
        run = self.run_small("pipe.zst", folder=folder, timeout=10)
        self.assertEqual(run.status, 0)
        self.assertTrue(stat.S_ISFIFO(os.stat(folder / "pipe.zst").st_mode))
        self.assertTrue((folder / "pipe.1.zst").exists())

    def test_the_mode_is_0600_whatever_the_umask(self):
        for mask in (0o000, 0o077, 0o777):
            run = self.run_small(umask=mask)
            self.only_trace(run)  # its mode is checked by run_traced

    def test_a_program_name_with_odd_characters(self):
        folder = self.new_folder()
        link = folder / "a name%p with ~ ütf"
        os.link(self.host("alloc_functions"), link) if os.stat(folder).st_dev == os.stat(
            self.host("alloc_functions")).st_dev else link.write_bytes(open(self.host("alloc_functions"), "rb").read())
        link.chmod(0o755)
        run = self.run_traced([str(link)], folder=folder)
        trace = self.only_trace(run)
        self.assertRegex(trace.name, r"^leak\.a name%p with ~ ütf\.[0-9]+\.zst$")
        self.assert_left(self.report(trace), "by_malloc", 1, 101)


class Messages(LeakTest):
    """Silence, but for one line for each mistake."""

    def messages(self, **env):
        run = self.run_traced([self.host("alloc_functions")], env=env)
        self.assertEqual(run.status, 0)
        self.assertEqual(run.stdout, b"")
        return run.stderr.decode().splitlines(), run

    def test_without_variables_nothing_is_said(self):
        self.assertEqual(self.messages()[0], [])

    def test_good_variables_say_nothing(self):
        lines, _ = self.messages(LEAK_DEPTH="64", LEAK_CHILDREN="1", LEAK_ONLY="alloc*", LEAK_MIN_EVENTS="1",
                                 LEAK_WRITER="thread", LEAK_VERBOSE="0", LEAK_START="on")
        self.assertEqual(lines, [])

    def test_an_unknown_variable_gives_one_line(self):
        lines, run = self.messages(LEAK_DEPHT="64")
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], r"^libleak: .*LEAK_DEPHT")
        self.assert_left(self.report_of(run), "by_malloc", 1, 101)

    def test_a_malformed_variable_gives_one_line_and_its_default(self):
        for name, value in (("LEAK_DEPTH", "many"), ("LEAK_DEPTH", "0"), ("LEAK_DEPTH", "-3"), ("LEAK_DEPTH", "12x"),
                            ("LEAK_DEPTH", ""), ("LEAK_DEPTH", "99999999999999999999999"), ("LEAK_CHILDREN", "maybe"),
                            ("LEAK_MIN_EVENTS", "1.5"), ("LEAK_OUT", "trace.%q.zst"), ("LEAK_OUT", "trace%"),
                            ("LEAK_WRITER", "both"), ("LEAK_VERBOSE", "loud"), ("LEAK_START", "later")):
            with self.subTest(name=name, value=value):
                lines, run = self.messages(**{name: value})
                self.assertEqual(len(lines), 1, lines)
                self.assertTrue(lines[0].startswith("libleak: ") and name in lines[0], lines)
                self.assert_left(self.report_of(run), "by_malloc", 1, 101)

    def test_two_mistakes_are_two_lines(self):
        lines, _ = self.messages(LEAK_DEPTH="x", LEAK_NOSUCH="1")
        self.assertEqual(len(lines), 2, lines)

    def test_variables_of_other_programs_are_not_ours(self):
        lines, _ = self.messages(LEAKAGE="1", LEAK="1", XLEAK_DEPTH="1")
        self.assertEqual(lines, [])

    def test_verbose_names_the_trace_at_exit(self):
        lines, run = self.messages(LEAK_VERBOSE="1")
        self.assertEqual(len(lines), 1, lines)
        self.assertIn(str(self.only_trace(run)), lines[0])

    def test_a_terminal_gets_the_name_of_the_trace(self):
        leader, follower = pty.openpty()
        run = self.run_traced([self.host("alloc_functions")], stderr=follower)
        os.close(follower)
        try:
            text = os.read(leader, 65536).decode()
        except OSError:
            text = ""
        os.close(leader)
        self.assertEqual(len(text.splitlines()), 1, text)
        self.assertIn(self.only_trace(run).name, text)


class WhichProcesses(LeakTest):
    def test_children_can_be_left_out(self):
        for form in ("fork", "fork_exec", "vfork_exec", "posix_spawn", "system"):
            with self.subTest(form=form):
                run = self.run_both([self.host("process_forms"), form], env={"LEAK_CHILDREN": "0"}, timeout=30)
                report = self.report_of(run)
                self.assert_left(report, "leak_before", 1, 71)
                self.assert_left(report, "leak_after", 1, 72)
                self.assert_sound(report)

    def test_a_program_that_execs_is_still_the_one_that_was_asked_for(self):
        run = self.run_both([self.host("exec_self"), "2"], env={"LEAK_CHILDREN": "0"}, status=6)
        self.assertEqual(len(run.traces), 3)

    def test_only_matching_executables(self):
        script = f"{self.host('alloc_functions')}; {self.host('malloc_zero')}; {self.host('no_events')}; true"
        for only, expected in (("malloc_*", ["malloc_zero"]), ("alloc_functions,malloc_zero",
                               ["alloc_functions", "malloc_zero"]), ("nothing", []), ("*_zero,sh", ["malloc_zero"])):
            with self.subTest(only=only):
                run = self.run_traced(["/bin/sh", "-c", script], env={"LEAK_ONLY": only})
                self.assertEqual(run.stderr, b"")
                exes = sorted(trace.name.split(".")[1] for trace in run.traces)
                self.assertEqual([exe for exe in exes if exe not in ("sh", "dash")], expected)
                if only != "*_zero,sh":
                    self.assertEqual(exes, expected)

    def test_short_lived_processes_can_leave_nothing(self):
        for least, traces in (("30", 1), ("31", 0)):  # 20 allocations and 10 releases
            run = self.run_traced([self.host("alloc_functions")], env={"LEAK_MIN_EVENTS": least})
            self.assertEqual(len(run.traces), traces, least)
            self.assertEqual(run.status, 0)

    def test_a_process_that_dies_keeps_its_short_trace(self):
        run = self.run_traced([self.host("ends"), "counters", "0", "kill"], env={"LEAK_MIN_EVENTS": "100000000"})
        self.assertEqual(len(run.traces), 1)


class Launcher(LeakTest):
    """leakan run."""

    def test_it_ends_as_the_program_did_and_says_where_the_trace_is(self):
        folder = self.new_folder()
        for host, status in (("alloc_functions", 0), ("early_late", 5)):
            done = subprocess.run([LEAKAN, "run", "--", self.host(host)], cwd=folder, capture_output=True, text=True,
                                  env=self.environment(), timeout=60)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertEqual(done.stdout, "")
            (trace,) = folder.glob(f"leak.{host}.*.zst")
            self.assertIn(trace.name, done.stderr)

    def test_a_program_that_is_killed(self):
        folder = self.new_folder()
        done = subprocess.run([LEAKAN, "run", "--", self.host("ends"), "counters", "0", "segv"], cwd=folder,
                              capture_output=True, text=True, env=self.environment(), timeout=60)
        self.assertIn(done.returncode, (128 + 11, -11))
        self.assertEqual(len(list(folder.glob("leak.ends.*.zst"))), 1)

    def test_a_program_that_does_not_exist(self):
        done = subprocess.run([LEAKAN, "run", "--", "/nonexistent/program"], capture_output=True, text=True,
                              env=self.environment(), timeout=60, cwd=self.new_folder())
        self.assertIn(done.returncode, (2, 126, 127))
        self.assertRegex(done.stderr, r"(?m)^leakan: .*/nonexistent/program")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_a_static_program_is_named_as_untraceable(self):
        done = subprocess.run([LEAKAN, "run", "--", self.host("static_program")], capture_output=True, text=True,
                              env=self.environment(), timeout=60, cwd=self.new_folder())
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"(?i)static|no trace")
