"""Somebody cuts, removes or replaces the trace of a running program; and SIGBUS stays the program's own."""

import functools
import os
import signal
import subprocess
import time

from leaktest import LIBLEAK, LeakTest


class CutFile(LeakTest):
    def cut(self, how, threads=3, seconds=0.4, **env):
        """Runs file_cut, does how(path of its trace) in the middle, and gives (lines on standard error, folder)."""
        folder = self.new_folder("cut")
        process = subprocess.Popen([self.host("file_cut"), str(threads)], cwd=folder, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=self.environment({"LD_PRELOAD": LIBLEAK, "LEAK_OUT": "trace.zst", **env}))
        try:
            self.assertEqual(process.stdout.readline(), "ready\n")
            how(folder / "trace.zst")
            time.sleep(seconds)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        self.assertEqual((process.returncode, out), (0, "done\n"), err)
        return err.splitlines(), folder

    def test_cut_to_any_size(self):
        sizes = []  # when calls that were under way are over

        def cut_to(bytes, path):
            os.truncate(path, bytes)
            time.sleep(0.15)
            sizes.append(os.stat(path).st_size)

        longer = 0
        for writer in ("thread", "inline"):
            for ring in ("0", "8M"):
                for bytes in (0, 1, 4096, 100_000, 262_144, 600_000, 262_144 * 4):
                    with self.subTest(writer=writer, ring=ring, bytes=bytes):
                        lines, folder = self.cut(functools.partial(cut_to, bytes), seconds=0.2, LEAK_WRITER=writer,
                                                 LEAK_RING=ring)
                        self.assertEqual(len(lines), 1, lines)
                        self.assertRegex(lines[0], "^libleak: somebody cut the trace file: tracing stops here")
                        left = os.stat(folder / "trace.zst").st_size
                        longer += left != bytes
                        self.assertEqual(left, sizes[-1], "a call that waits until the file is cut is the last one")
                        if bytes >= 262_144:
                            report = self.report(folder / "trace.zst")
                            self.assertGreater(report.trace["gap_events"], 0)
                            text = self.leakan("report", folder / "trace.zst").stdout.decode()
                            self.assertIn("somebody cut the file", " ".join(text.split()))

        # Nobody has made it longer again, but where it was cut in the middle of that.
        self.assertLessEqual(longer, 7)

    def test_cut_again_and_again(self):
        def again(path):
            for bytes in (700_000, 300_000, 262_144, 262_143, 5000, 0):
                os.truncate(path, bytes)
                time.sleep(0.05)

        lines, _ = self.cut(again)
        self.assertEqual(len(lines), 1, lines)

    def test_opened_for_writing_by_a_shell(self):
        lines, folder = self.cut(lambda path: subprocess.run(["sh", "-c", f"echo mine > {path}"], check=True))
        self.assertEqual(len(lines), 1, lines)
        self.assertEqual((folder / "trace.zst").read_text(), "mine\n")

    def test_removed(self):
        lines, folder = self.cut(os.unlink, LEAK_CHILDREN="0")
        self.assertEqual(lines, [])
        self.assertFalse((folder / "trace.zst").exists())
        lines, _ = self.cut(os.unlink, LEAK_WRITER="inline")
        self.assertLessEqual(len(lines), 1, lines)

    def test_another_file_in_its_place(self):
        def replace(path):
            os.unlink(path)
            path.write_text("precious")

        for writer in ("thread", "inline"):
            lines, folder = self.cut(replace, LEAK_WRITER=writer, LEAK_CHILDREN="0")
            self.assertLessEqual(len(lines), 1, lines)
            self.assertEqual((folder / "trace.zst").read_text(), "precious")

    def test_cut_and_removed(self):
        def both(path):
            os.truncate(path, 0)
            os.unlink(path)

        lines, _ = self.cut(both)
        self.assertEqual(len(lines), 1, lines)


class BusSignals(LeakTest):
    def test_the_program_sees_and_gets_what_it_asked_for(self):
        for writer in ("thread", "inline"):
            run = self.run_both([self.host("bus_signals"), "sound"], env={"LEAK_WRITER": writer})
            self.assertTrue(run.stdout.endswith(b"done\n"), run.stdout)
            reports = [self.report(trace) for trace in run.traces]
            self.assertEqual(max(report.left("made_in_handler")[0] for report in reports), 5)
            for report in reports:
                self.assertEqual(report.trace["damage"], [])

    def test_the_default_still_kills(self):
        for mode in ("default", "raised", "reset", "ignored"):
            with self.subTest(mode=mode):
                run = self.run_both([self.host("bus_signals"), mode], status=-signal.SIGBUS)
                self.assert_left(self.report_of(run), "churn", 0, 0)

    def test_what_is_ignored_stays_so_in_what_replaces_the_program(self):
        self.run_both([self.host("bus_signals"), "exec"])
