"""What libleak.so shows to the programs it is loaded into: the hooks and the public interface, nothing else."""

import pathlib
import re
import subprocess

from leaktest import LIBLEAK, LeakTest

LIST = pathlib.Path(__file__).with_name("exports.txt")


class Exports(LeakTest):
    def test_the_exported_symbols_are_those_of_the_list(self):
        listing = subprocess.run(["nm", "-D", "--defined-only", "--without-symbol-versions", LIBLEAK],
                                 capture_output=True, text=True, check=True).stdout
        exported = {line.split()[-1] for line in listing.splitlines()}
        lines = [line.split("#")[0].strip() for line in LIST.read_text().splitlines()]
        expected = {line for line in lines if line}
        self.assertEqual(sorted(exported - expected), [], "exported, not in exports.txt")
        self.assertEqual(sorted(expected - exported), [], "in exports.txt, not exported")

    def test_it_needs_the_c_library_and_libunwind_only(self):
        dynamic = subprocess.run(["readelf", "-dW", LIBLEAK], capture_output=True, text=True, check=True).stdout
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
        for library in needed:
            self.assertRegex(library, r"^(libc\.so\.6|libunwind.*|ld-linux-x86-64\.so\.2|libm\.so\.6|libpthread.*|"
                                      r"liblzma\.so\.5|libdl\.so\.2)$")
        self.assertNotRegex(dynamic, r"TEXTREL")

    def test_its_thread_local_storage_is_static(self):
        relocations = subprocess.run(["readelf", "-rW", LIBLEAK], capture_output=True, text=True, check=True).stdout
        self.assertNotRegex(relocations, r"DTPMOD|TLSDESC")
        dynamic = subprocess.run(["readelf", "-dW", LIBLEAK], capture_output=True, text=True, check=True).stdout
        self.assertIn("STATIC_TLS", dynamic)
