"""meson install into a folder; then the installed files are all that is used."""

import os
import pathlib
import shutil
import subprocess
import unittest

from leaktest import BUILD, SOURCE, LeakTest


class Install(LeakTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        import tempfile
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="leakan-install."))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        done = subprocess.run(["meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet"],
                              env={**os.environ, "DESTDIR": str(cls.root)}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def find(self, name):
        found = sorted(self.root.rglob(name))
        self.assertEqual(len(found), 1, f"{name}: {found}; installed: "
                         f"{[str(path.relative_to(self.root)) for path in self.root.rglob('*') if path.is_file()]}")
        return found[0]

    def test_everything_is_there_and_nothing_else(self):
        files = {path.name for path in self.root.rglob("*") if path.is_file() or path.is_symlink()}
        for name in ("leakan", "libleak.so", "leak.h", "leakan.1", "libleak.7", "leakan-trace.5"):
            self.assertIn(name, {file.removesuffix(".gz") for file in files})
        self.assertFalse([name for name in files if "plugin" in name or name.endswith((".a", ".cpp", ".o"))], files)

    def test_a_program_built_by_the_pkg_config_file(self):
        (package,) = self.root.rglob("*.pc")
        env = {**os.environ, "PKG_CONFIG_PATH": str(package.parent), "PKG_CONFIG_SYSROOT_DIR": str(self.root)}
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", package.stem], env=env, capture_output=True,
                               text=True, check=True).stdout.split()
        self.assertFalse([flag for flag in flags if flag.startswith("-l")], "the header needs no library")
        program = self.folder / "api"
        for compiler, language in (("gcc", "c"), ("g++", "c++")):
            subprocess.run([compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-x", language, str(
                SOURCE / "tests/hosts/api.c"), "-g", "-o", str(program), *flags], check=True)
            run = self.run_plain([str(program)])
            self.assertEqual((run.status, run.stdout), (0, b"done\n"))
            preload = str(self.find("libleak.so"))
            run = self.run_plain([str(program)], env={"LD_PRELOAD": preload})
            report = self.report_of(run)
            self.assert_left(report, "recorded_again", 1, 500)
            self.assertEqual(report.left("not_recorded"), (0, 0))

    def test_the_installed_leakan_finds_the_installed_library(self):
        leakan = self.find("leakan")
        folder = self.new_folder()
        done = subprocess.run([str(leakan), "run", "--", "/usr/bin/env"], cwd=folder, capture_output=True, text=True,
                              env=self.environment(), timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        preload = [line for line in done.stdout.splitlines() if line.startswith("LD_PRELOAD=")]
        self.assertEqual(preload, [f"LD_PRELOAD={self.find('libleak.so')}"])
        self.assertEqual(len(list(folder.glob("leak.env.*.zst"))), 1)

    def test_the_manual_pages_are_installed_readable(self):
        for name in ("leakan.1", "libleak.7", "leakan-trace.5"):
            page = self.find(name + "*")
            text = subprocess.run(["man", "-l", str(page)], capture_output=True, text=True,
                                  env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat"}).stdout
            self.assertIn("NAME", text)


if __name__ == "__main__":
    unittest.main()
