"""What is written is what is there: manual pages, README, settings and options."""

import re
import subprocess
import unittest

from leaktest import LEAKAN, SOURCE, LeakTest


class Documentation(LeakTest):
    def test_the_manual_pages_are_well_formed(self):
        pages = [path for path in (SOURCE / "man").iterdir() if re.search(r"\.[1-8]$", path.name)]
        self.assertEqual({page.name for page in pages}, {"leakan.1", "libleak.7", "leakan-trace.5"})
        for page in pages:
            lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)], capture_output=True, text=True)
            self.assertEqual(lint.stdout + lint.stderr, "", page)

    def test_every_setting_has_its_place_in_the_manual(self):
        settings = set(re.findall(r'"(LEAK_[A-Z_]+)"', (SOURCE / "preload/settings.cpp").read_text()))
        manual = (SOURCE / "man/libleak.7").read_text().replace("\\", "")
        self.assertGreater(len(settings), 5)
        for name in settings:
            self.assertIn(name, manual)
        for name in set(re.findall(r"LEAK_[A-Z]+[A-Z_]*[A-Z]", manual)):
            self.assertIn(name, settings, "in the manual, not in the program")

    def test_every_option_has_its_place_in_the_manual(self):
        manual = (SOURCE / "man/leakan.1").read_text().replace("\\", "")
        for command in ("run", "report", "watch", "diff", "info", "dump", "mark"):
            help_text = subprocess.run([LEAKAN, command, "--help"], capture_output=True, text=True).stdout
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_text):
                name = option.removeprefix("--")
                self.assertTrue(re.search(rf"(--|Fl -|-){re.escape(name)}\b", manual), f"leakan {command} {option}")

    def test_the_readme_names_files_that_exist(self):
        readme = (SOURCE / "README.md").read_text()
        for path in re.findall(r"\]\(([A-Za-z][\w./-]*)\)", readme) + re.findall(r"`((?:scripts|examples)/[\w.-]+)`",
                                                                               readme):
            self.assertTrue((SOURCE / path).exists(), path)


if __name__ == "__main__":
    unittest.main()
