"""Snapshots: copies of the process that write where its pointers lie. The host must not notice them."""

import json
import mmap
import os
import pathlib
import struct
import subprocess
import time
import unittest

from leaktest import IS_ROOT, LIBLEAK, LeakTest

HEADER = 64  # of the file; FORMAT.md, section 3
WHOLE, OFF, NO_ROOM, NO_MEMORY, KILLED, STOPPED = range(6)


def read_header(trace):
    """(number of the snapshot that holds or 0, wanted, answered, failure)"""
    with open(trace, "rb") as file:
        data = file.read(HEADER + 400)
    index, wanted, answered, failure = struct.unpack_from("<4I", data, HEADER + 384)
    number = struct.unpack_from("<Q", data, HEADER + 320 + 32 * index)[0] if index < 2 else 0
    return number, wanted, answered, failure


def ask_for_snapshot(trace):
    """As `leakan snapshot` does, but for the wake-up: the thread looks at least once a second."""
    with open(trace, "r+b") as file, mmap.mmap(file.fileno(), 4096) as memory:
        at = HEADER + 388
        wanted = struct.unpack_from("<I", memory, at)[0] + 1
        struct.pack_into("<I", memory, at, wanted)
    return wanted


class Snapshots(LeakTest):
    def run_host(self, *arguments, status=0, same=True, **env):
        command = [self.host("snapshots"), *map(str, arguments)]
        if same:
            return self.run_both(command, env=env, status=status)
        run = self.run_traced(command, env=env)
        self.assertEqual(run.status, status, run.stderr)
        return run

    def start(self, *arguments, **env):
        folder = self.new_folder("live")
        trace = folder / "trace.zst"
        process = subprocess.Popen([self.host("snapshots"), *map(str, arguments)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, cwd=folder,
                                   env=self.environment({"LD_PRELOAD": LIBLEAK, "LEAK_OUT": str(trace), **env}))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process, trace

    def end(self, process, status=0):
        process.stdin.close()
        self.assertEqual(process.stdout.readline(), b"end\n")
        self.assertEqual(process.wait(timeout=60), status)

    def wait_for(self, condition, seconds=30):
        limit = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), limit, "it does not come")
            time.sleep(0.01)

    def test_every_way_to_end(self):
        for how, status in (("exit", 11), ("return", 15), ("_exit", 12), ("_Exit", 13), ("quick_exit", 14),
                            ("exec", 0)):
            for writer in ("thread", "inline"):
                with self.subTest(how=how, writer=writer):
                    run = self.run_host("end", how, status=status, LEAK_WRITER=writer)
                    traces = [trace for trace in run.traces if ".echo." not in trace.name]
                    self.assertEqual(read_header(traces[0]), (1, 0, 0, WHOLE))
                    self.check_traces(run)

    def test_an_exec_that_fails(self):
        run = self.run_host("end", "failed_exec", status=15)
        self.assertEqual(read_header(self.only_trace(run))[0], 2)

    def test_what_the_kernel_keeps_for_a_process_stays_the_hosts(self):
        """Also where the copy shares the memory."""
        run = self.run_both([self.host("early_library_host")])
        self.assertIn(b"/proc/self/oom_score_adj", run.stdout)
        self.assertEqual(read_header(self.only_trace(run))[0], 1)

    def test_a_handler_that_ends_the_program_while_the_copy_works(self):
        for writer in ("thread", "inline"):
            run = self.run_host("handler", "exit", status=21, same=False, LEAK_WRITER=writer)
            self.assertEqual(read_header(self.only_trace(run))[0], 0)
            self.check_traces(run)

    def test_a_handler_that_forks_while_the_copy_works(self):
        for writer in ("thread", "inline"):
            run = self.run_host("handler", "fork", status=11, same=False, LEAK_WRITER=writer)
            self.assertEqual(run.stdout, b"forked\n")
            # The child, which came into being inside of libleak.so, is not traced.
            self.assertEqual(read_header(self.only_trace(run)), (1, 0, 0, WHOLE))
            self.check_traces(run)

    def test_off(self):
        run = self.run_host("end", "exit", status=11, LEAK_SNAPSHOT="off")
        self.assertEqual(read_header(self.only_trace(run)), (0, 0, 0, OFF))
        self.leakan("report", "--fail-on", "leaks", self.only_trace(run), status=1)
        self.leakan("report", "--fail-on", "unreachable", self.only_trace(run))  # which is not known

    def test_wait_sees_the_hosts_children_alone(self):
        for writer in ("thread", "inline"):
            run = self.run_host("children", LEAK_WRITER=writer)
            self.assertGreater(max(read_header(trace)[0] for trace in run.traces), 1)

    def test_marks_under_load(self):
        """A thousand snapshots beside eight threads."""
        run = self.run_host("marks", 1000, 8, LEAK_RING="64M")
        number, wanted, answered, failure = read_header(self.only_trace(run))
        self.assertEqual((failure, wanted), (WHOLE, answered))
        self.assertGreater(number, 50)
        self.check_traces(run)

    def test_marks_under_load_with_all_registers(self):
        """Each snapshot stops each thread for a moment."""
        run = self.run_host("marks", 300, 8, LEAK_RING="64M", LEAK_REGISTERS="all")
        number, *_, failure = read_header(self.only_trace(run))
        self.assertEqual(failure, WHOLE)
        self.assertGreater(number, 3)  # the others came while one was being taken
        self.check_traces(run)

    def test_by_time_under_load(self):
        run = self.run_host("marks", 1000, 4, LEAK_RING="16M", LEAK_SNAPSHOT="0.01")
        number, *_, failure = read_header(self.only_trace(run))
        self.assertEqual(failure, WHOLE)
        self.assertGreater(number, 20)
        self.check_traces(run)

    def test_forks_while_a_copy_works(self):
        for env in ({"LEAK_WRITER": "thread"}, {"LEAK_WRITER": "inline"}, {"LEAK_SNAPSHOT": "0.01"}):
            run = self.run_host("forks", 40, **env)
            self.assertEqual(len(run.traces), 41)
            for trace in run.traces:
                self.assertEqual(read_header(trace)[3], WHOLE, trace)

    def test_a_small_stack(self):
        for writer in ("thread", "inline"):
            run = self.run_host("stack", status=3, LEAK_WRITER=writer)
            self.assertEqual(read_header(self.only_trace(run))[::3], (2, WHOLE))

    def test_on_request(self):
        process, trace = self.start("wait", 1)
        for number in range(1, 6):
            wanted = ask_for_snapshot(trace)
            self.wait_for(lambda: read_header(trace)[2] == wanted)
            self.assertEqual(read_header(trace), (number, wanted, wanted, WHOLE))
        self.end(process)
        self.assertEqual(read_header(trace)[0], 6)
        self.check_trace_file(trace)

    def test_a_request_while_they_are_off(self):
        process, trace = self.start("wait", 1, LEAK_SNAPSHOT="off")
        wanted = ask_for_snapshot(trace)
        self.wait_for(lambda: read_header(trace)[2] == wanted)
        self.assertEqual(read_header(trace), (0, wanted, wanted, OFF))
        self.end(process)

    def test_the_command(self):
        """leakan snapshot, by the trace and by the number of the process; and what it says where there is none."""
        process, trace = self.start("wait", 1)
        self.assertIn(b"has snapshot 1", self.leakan("snapshot", trace).stdout)
        self.assertIn(b"has snapshot 2", self.leakan("snapshot", str(process.pid)).stdout)
        snapshot = self.report(trace).data["snapshot"]
        self.assertEqual(snapshot["reason"], "request")
        self.end(process)
        self.assertIn(b"has ended", self.leakan("snapshot", trace, status=2).stderr)
        process, trace = self.start("wait", 1, LEAK_SNAPSHOT="off")
        self.assertIn(b"LEAK_SNAPSHOT=off", self.leakan("snapshot", trace, status=2).stderr)
        self.end(process)

    def copies_of(self, process):
        children = pathlib.Path(f"/proc/{process.pid}/task").glob("*/children")
        return [int(pid) for path in children for pid in path.read_text().split()]

    def test_a_copy_that_is_killed(self):
        process, trace = self.start("wait", 256)
        wanted = ask_for_snapshot(trace)
        self.wait_for(lambda: self.copies_of(process))
        os.kill(self.copies_of(process)[0], 9)
        self.wait_for(lambda: read_header(trace)[2] == wanted)
        self.assertEqual(read_header(trace)[::3], (0, KILLED))
        self.end(process)
        self.assertEqual(read_header(trace)[::3], (2, WHOLE))

    def test_a_host_that_is_killed_takes_its_copy_along(self):
        process, trace = self.start("wait", 256)
        ask_for_snapshot(trace)
        self.wait_for(lambda: self.copies_of(process))
        copy = self.copies_of(process)[0]
        process.kill()
        process.wait()
        self.wait_for(lambda: not pathlib.Path(f"/proc/{copy}").exists() or
                      pathlib.Path(f"/proc/{copy}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z", 5)
        self.assertEqual(read_header(trace)[0], 0)
        self.check_trace_file(trace)

    def test_a_copy_keeps_none_of_the_hosts_descriptors(self):
        process, trace = self.start("wait", 256)
        process.stdin.write(b"m")
        process.stdin.flush()
        self.wait_for(lambda: self.copies_of(process))
        copy = self.copies_of(process)[0]
        time.sleep(0.02)
        for link in pathlib.Path(f"/proc/{copy}/fd").glob("*"):
            try:
                target = os.readlink(link)
            except FileNotFoundError:
                continue
            self.assertTrue(target == str(trace) or target.startswith("/proc/"), target)
        self.assertEqual(process.stdout.readline(), b"m\n")
        self.end(process)

    def test_a_ring_that_wraps(self):
        """Old snapshots give their slots back; and where there is no room, there is none."""
        process, trace = self.start("wait", 1, LEAK_RING="8M")
        for _ in range(30):
            process.stdin.write(b"a")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"a\n")
            wanted = ask_for_snapshot(trace)
            self.wait_for(lambda: read_header(trace)[2] == wanted)
            self.assertIn(read_header(trace)[3], (WHOLE, NO_ROOM))
            self.assertLessEqual(trace.stat().st_size, 8 << 20)
        self.end(process)
        self.check_trace_file(trace)
        self.assert_sound(self.report(trace))

    @unittest.skipUnless(IS_ROOT, "needs root, to be somebody else")
    def test_at_the_limit_of_processes(self):
        run = self.run_traced([self.host("snapshots"), "limit", "nproc"])
        self.assertEqual((run.status, run.stdout, run.stderr), (5, b"goes on\n", b""))
        self.assertEqual(read_header(self.only_trace(run))[::3], (0, NO_MEMORY))

    def test_at_the_limit_of_the_address_space(self):
        run = self.run_traced([self.host("snapshots"), "limit", "as"])
        self.assertEqual((run.status, run.stdout), (5, b"goes on\n"))
        self.assertEqual(read_header(self.only_trace(run))[::3], (0, NO_MEMORY))

    def classes_of(self, run, function):
        """{class: blocks} of the blocks with this function in their stack."""
        sums = {}
        for site in self.report_of(run).sites_of(function):
            for name, blocks in site.raw["class"].items():
                if blocks:
                    sums[name] = sums.get(name, 0) + blocks
        return sums

    def test_stacks_of_threads_that_wait(self):
        """What is on a stack in use leads to blocks, what is left below does not."""
        run = self.run_host("threads")
        self.assertEqual(self.classes_of(run, "keep_on_stack"), {"reachable": 5})
        self.assertEqual(self.classes_of(run, "forget_on_stack"), {"unreachable": 5})
        self.assertEqual(self.classes_of(run, "keep_global"), {"reachable": 1})
        self.assertEqual(self.classes_of(run, "lose_block"), {"unreachable": 1})
        snapshot = self.report_of(run).data["snapshot"]
        self.assertEqual((snapshot["threads"], snapshot["threads_without_stack"]), (5, 0))
        self.assertEqual((snapshot["reason"], snapshot["skipped_bytes"]), ("fast_exit", 0))
        self.leakan("report", "--fail-on", "unreachable", self.only_trace(run), status=1)

    def test_roots_of_the_programs_own(self):
        run = self.run_host("roots")
        self.assertEqual(read_header(self.only_trace(run))[::3], (1, WHOLE))
        self.assertEqual(self.classes_of(run, "keep_global"), {"reachable": 1, "unreachable": 1})

    def test_what_free_memory_holds_is_left_out(self):
        """Of 990,000 pointers in blocks that were freed, and 2,000 in those that stay."""
        run = self.run_host("freed")
        self.assertEqual(self.classes_of(run, "make_linked"), {"reachable": 2000})
        info = json.loads(self.leakan("info", "--format", "json", self.only_trace(run)).stdout)
        used = sum(slot["used_bytes"] for slot in info["slots"] if slot["kind"] == "snapshot")
        self.assertLess(used, 50_000)

    def check_traces(self, run):
        for trace in run.traces:
            self.check_trace_file(trace)


if __name__ == "__main__":
    unittest.main()
