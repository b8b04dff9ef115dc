"""fork and its relatives, exec: each process has a trace of its own, and the pieces fit together."""

from leaktest import LeakTest


class Processes(LeakTest):
    def run_form(self, form, **options):
        # The daemon changes to /, so the name has to be a whole path.
        options.setdefault("env", {})["LEAK_OUT"] = str(self.folder) + "/leak.%e.%p.zst"
        run = self.run_both([self.host("process_forms"), form], timeout=60, **options)
        self.assertEqual(run.status, 0, run.stdout)
        run.traces = sorted(self.folder.glob("leak.*.zst"))
        for trace in run.traces:
            self.check_trace_file(trace)
        self.reports = [self.report(trace) for trace in run.traces]
        for report in self.reports:
            self.assert_sound(report)
        return run

    def one_with(self, function):
        found = [report for report in self.reports if report.sites_of(function)]
        self.assertEqual(len(found), 1, f"traces that name {function}\n" +
                         "\n".join(report.describe() for report in self.reports))
        return found[0]

    def check_parent(self):
        parent = self.one_with("leak_before")
        self.assert_left(parent, "leak_before", 1, 71)
        self.assert_left(parent, "leak_after", 1, 72)
        self.assert_left(parent, "given_to_child", 0, 0)
        self.assert_left(parent, "leak_in_child", 0, 0)
        return parent

    def check_child(self, function="leak_in_child", bytes=73):
        child = self.one_with(function)
        self.assert_left(child, function, 1, bytes)
        self.assert_left(child, "leak_before", 0, 0)  # inherited: not the child's leak
        return child

    def check_fork(self, form):
        self.run_form(form)
        parent = self.check_parent()
        child = self.check_child()
        self.assertEqual(len(self.reports), 2)
        self.assertNotEqual(parent.trace["pid"], child.trace["pid"])

    def test_fork(self):
        self.check_fork("fork")

    def test_fork_then__exit(self):
        self.check_fork("fork_exit")

    def test_low_level__Fork(self):
        self.check_fork("_Fork")

    def test_raw_clone(self):
        self.check_fork("clone")

    def test_fork_amid_many_events(self):
        self.check_fork("busy_fork")
        for report in self.reports:
            self.assert_left(report, "busy_block", 0, 0)

    def test_daemon_lets_its_launcher_go(self):
        self.run_form("daemon")
        self.check_parent()
        self.check_child()

    def test_fork_then_exec(self):
        self.run_form("fork_exec")
        self.check_parent()
        self.check_child("leak_after_exec", 76)

    def test_vfork_then_exec(self):
        self.run_form("vfork_exec")
        self.check_parent()
        self.check_child("leak_after_exec", 76)
        self.assertEqual(len(self.reports), 2)

    def test_vfork_then__exit(self):
        self.run_form("vfork_exit")
        self.check_parent()
        self.assertEqual(len(self.reports), 1)

    def test_posix_spawn(self):
        self.run_form("posix_spawn")
        self.check_parent()
        self.check_child("leak_after_exec", 76)
        self.assertEqual(len(self.reports), 2)

    def test_system(self):
        self.run_form("system")
        self.check_parent()
        self.check_child("leak_after_exec", 76)

    def test_popen(self):
        run = self.run_form("popen")
        self.check_parent()
        self.assertEqual(run.stdout, b"from the shell\n")

    def test_grandchild_releases_what_the_grandparent_made(self):
        self.run_form("grandchild")
        self.check_parent()
        child = self.one_with("leak_in_child")
        self.assert_left(child, "leak_in_child", 1, 73)
        self.assert_left(child, "given_to_child", 0, 0)  # inherited, still there, not its leak
        grandchild = self.one_with("leak_in_grandchild")
        self.assert_left(grandchild, "leak_in_grandchild", 1, 75)
        self.assert_left(grandchild, "leak_in_child", 0, 0)
        self.assertEqual(len(self.reports), 3)

    def test_children_of_a_threaded_process_come_back(self):
        run = self.run_both([self.host("fork_threaded")], timeout=170)
        self.assertEqual(run.stdout, b"60 of 60 children came back\n")
        self.assertEqual(len(run.traces), 61)

    def test_each_child_of_a_threaded_process_leaks_its_one_block(self):
        run = self.run_traced([self.host("fork_threaded")], timeout=170)
        leaking = 0
        for trace in run.traces:
            report = self.report(trace)
            self.assertEqual(report.summary["unmatched_releases"], 0, report.describe())
            blocks, bytes = report.left("leak_in_child_thread")
            self.assertIn((blocks, bytes), ((0, 0), (1, 81)))
            leaking += blocks
        self.assertEqual(leaking, 60)

    def test_exec_keeps_the_pid_and_starts_a_new_trace_each_time(self):
        run = self.run_both([self.host("exec_self"), "3"], status=6)
        self.assertEqual(run.status, 6)
        self.assertEqual(len(run.traces), 4, run.traces)
        reports = self.reports_by_args(run)
        for left in range(4):
            (report,) = reports[str(left)]
            self.assert_left(report, "leak_then_exec", 1, 90 + left)
            self.assert_sound(report)
        self.assertEqual(len({report.trace["pid"] for (report,) in reports.values()}), 1)
