"""The classes of blocks that are left, beside those that Valgrind and LeakSanitizer find in the same programs.

The table that is printed has a line for each function where the three are not all of one opinion. A difference without
a reason in DIFFERENCES is a failure.
"""

import collections
import os
import re
import shutil
import subprocess
import sys
import unittest
import xml.etree.ElementTree

from leaktest import SOURCE, LeakTest

sys.path.insert(0, str(SOURCE / "tests/hosts"))
from class_truth import CLASSES, COMMANDS, TRUTH, count_by_function, in_words, records_of

VALGRIND_KINDS = {"Leak_DefinitelyLost": "unreachable", "Leak_IndirectlyLost": "indirect",
                  "Leak_PossiblyLost": "interior_only", "Leak_StillReachable": "reachable"}
VALGRIND = ["valgrind", "-q", "--leak-check=full", "--show-leak-kinds=all", "--num-callers=60", "--xml=yes",
            "--child-silent-after-fork=yes", "--run-libc-freeres=no", "--run-cxx-freeres=no"]
LIBLSAN = subprocess.run(["gcc", "-print-file-name=liblsan.so"], capture_output=True, text=True).stdout.strip()

# Why another tool says something else: {(program, tool): {function: reason}}.
MAPPINGS = "looks for pointers in modules, stacks and blocks alone, not in other mappings"
LEADERS = "has no leader of a cycle"
NUMBERS = "its heap has such low addresses that numbers of the C library are taken for pointers into large blocks"
ENDED = "knows the stacks that glibc keeps of threads that have ended"
EVERY_MAPPING = "looks at all mappings that can be written, also of files"
DIFFERENCES = {
    ("class_roots", "Valgrind"): {
        "in_dynamic_thread_local_of_other": "glibc's table of such storage is pointed to behind its start",
        "in_sealed_mapping": "does not look at memory that can only be read",
        "in_register": "has the registers of all threads",
        "on_stack_of_ended": ENDED,
    },
    ("class_roots", "LSan"): {
        "on_stack_of_ended": ENDED,
        "on_stack_of_fiber": MAPPINGS,
        "in_mapping": MAPPINGS,
        "in_shared_mapping": MAPPINGS,
        "in_sealed_mapping": MAPPINGS,
        "in_register": "has the registers of all threads",
    },
    ("class_cxx", "Valgrind"): {"by_array_of_bytes": "reads the count that new[] keeps of elements with destructors"},
    ("class_blocks", "Valgrind"): {"large": NUMBERS, "below_large": NUMBERS},
    ("class_blocks", "LSan"): {"cycle_of_two": LEADERS, "cycle_below_one": LEADERS},
    ("class_registered", "Valgrind"): {"beside_registered_memory": EVERY_MAPPING, "in_file": EVERY_MAPPING},
    ("class_registered", "LSan"): {"in_registered_memory": "does not know of leak_root()"},
}

# Real programs: {name: (command, environment)}. Each does a little and ends with blocks that it has not released.
PYTHON = """
import ctypes
allocate = ctypes.CDLL(None).malloc
for _ in range(20): allocate(1000)  # an int has half of the pointer
kept = [{str(i): [i]} for i in range(300)]
"""
PERL = r"my @kept = map { { $_ => qq(text $_) } } 1 .. 300; for (1 .. 50) { my $loop; $loop = \$loop; }"
SQL = "create table t(a, b); insert into t values (1, 'x'), (2, 'y'); select sum(a) from t; .exit 5"
PROGRAMS = {
    "python3": (["/usr/bin/python3", "-I", "-S", "-c", PYTHON], {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}),
    "perl": (["/usr/bin/perl", "-e", PERL], {"PERL_HASH_SEED": "0"}),
    "sqlite3": (["/usr/bin/sqlite3", "-batch", ":memory:", *SQL.split("; ")], {}),
    "git": (["/usr/bin/git", "init", "-q", "."], {"GIT_CONFIG_NOSYSTEM": "1", "HOME": "/"}),
    "redis-cli": (["/usr/bin/redis-cli", "--version"], {}),
    "bash": (["/bin/bash", "-c", "declare -A kept; for i in {1..200}; do kept[$i]=$i; done"], {}),
}
# Of a real program the blocks are compared that nothing in use points to (unreachable and indirect) and all together.
# Between interior-only and reachable Valgrind draws another line: to it SQLite's blocks begin with their length.
# What a stack or a freed block happens to hold differs from tool to tool, and so does the environment of a program.
TOLERATED_BLOCKS = 3
TOLERATED_PART = 0.05


class OtherTools(LeakTest):
    def valgrind(self, command, **env):
        """[(frames, class, blocks, bytes)]"""
        path = self.new_folder("valgrind") / "out.xml"
        self.run_plain([*VALGRIND, f"--xml-file={path}", *command], env=env, timeout=200)
        for error in xml.etree.ElementTree.parse(path).iter("error"):
            kind = VALGRIND_KINDS.get(error.findtext("kind"))
            if kind:
                frames = [frame.findtext("fn") or "" for frame in error.find("stack")]
                what = error.find("xwhat")
                yield frames, kind, int(what.findtext("leakedblocks")), int(what.findtext("leakedbytes"))

    def sanitizer(self, command):
        """[(frames, class, blocks)] of what is unreachable; the rest it does not list."""
        run = self.run_plain(command, env={"LD_PRELOAD": LIBLSAN, "LSAN_OPTIONS":
                                           "exitcode=0:fast_unwind_on_malloc=0:max_leaks=0:report_objects=0"})
        text = run.stderr.decode()
        self.assertNotIn("LeakSanitizer has encountered a fatal error", text)
        for kind, blocks, stack in re.findall(
                r"^(Direct|Indirect) leak of \d+ byte\(s\) in (\d+) object\(s\).*\n((?: +#.*\n)+)", text, re.M):
            frames = re.findall(r"^ +#\d+ 0x[0-9a-f]+ in (.*?)(?: \S+:\d+| \(\S+\))?$", stack, re.M)
            yield frames, "unreachable" if kind == "Direct" else "indirect", int(blocks)

    def compare(self, program):
        command = [self.host(program), *map(str, COMMANDS[program])]
        ours = count_by_function(program, records_of(self.report_of(self.run_traced(command))))
        theirs = {
            "Valgrind": count_by_function(program, [record[:3] for record in self.valgrind(command)]),
            "LSan": count_by_function(program, self.sanitizer(command)),
        }
        unexplained = []
        lines = []
        for function, our in ours.items():
            columns = [in_words(our)]
            reasons = []
            for tool, found in theirs.items():
                their = found[function]
                wanted = our
                if tool == "LSan":  # knows only what is unreachable
                    their, wanted = ({**of_class, "interior_only": 0, "reachable": 0} for of_class in (their, our))
                same = their == wanted
                columns.append("=" if same else in_words(their))
                reason = DIFFERENCES.get((program, tool), {}).get(function)
                if not same and reason is None:
                    unexplained.append(f"{program}: {function}: {in_words(our)}; {tool}: {in_words(their)}")
                elif not same:
                    reasons.append(f"{tool}: {reason}")
            lines.append((function, *columns, "; ".join(reasons)))
        same = sum(line[2] == line[3] == "=" for line in lines)
        print(f"\n{program}: {same} of {len(lines)} functions the same")
        print(f"  {'':34} {'ours':32} {'Valgrind':32} {'LSan':32}")
        for function, our, valgrind, sanitizer, reasons in lines:
            if (valgrind, sanitizer) != ("=", "="):
                print(f"  {function:34} {our:32} {valgrind:32} {sanitizer:32} {reasons}")
        self.assertEqual(unexplained, [], "differences without a reason")

    def test_real_programs(self):
        print(f"\n  {'':12} {'ours':62} Valgrind")
        for name, (command, environment) in PROGRAMS.items():
            ours, theirs = collections.Counter(), collections.Counter()
            run = self.run_traced(command, env=environment)
            for _, kind, blocks in records_of(self.report_of(run)):
                ours[kind] += blocks
            for _, kind, blocks, _ in self.valgrind(command, **environment):
                theirs[kind] += blocks
            print(f"  {name:12} {in_words(ours):62} {in_words(theirs)}")
            for what, kinds in (("lost", CLASSES[:2]), ("all", CLASSES)):
                our, their = (sum(of_class[kind] for kind in kinds) for of_class in (ours, theirs))
                with self.subTest(name, what=what):
                    tolerated = max(TOLERATED_BLOCKS, TOLERATED_PART * their)
                    self.assertLessEqual(abs(our - their), tolerated, (ours, theirs))


def add_comparison(program):
    setattr(OtherTools, "test_" + program, lambda self: self.compare(program))


for class_program in TRUTH:
    add_comparison(class_program)
assert shutil.which("valgrind") and os.path.exists(LIBLSAN)

if __name__ == "__main__":
    unittest.main()
