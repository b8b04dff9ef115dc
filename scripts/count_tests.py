"""Prints "PASSED FAILED" for meson test logs: individual cases, where the runner says how many it had.

doctest prints `[doctest] test cases: 12 | 12 passed | 0 failed`, tests/e2e/run_tests.py `cases: 12 passed, 0 failed, 1
skipped`; any other test is one case. A test that failed without saying so (a crash, a timeout) counts as one failure.
"""

import json
import re
import sys

DOCTEST = re.compile(r"\[doctest\] test cases:\s*(\d+)\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed")
CASES = re.compile(r"^cases: (\d+) passed, (\d+) failed", re.M)


def count(test):
    output = re.sub(r"\x1b\[[0-9;]*m", "", (test.get("stdout") or "") + (test.get("stderr") or ""))
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    passed = failed = 0
    for match in DOCTEST.finditer(output):
        passed, failed = passed + int(match.group(2)), failed + int(match.group(3))
    for match in CASES.finditer(output):
        passed, failed = passed + int(match.group(1)), failed + int(match.group(2))
    if test["result"] == "SKIP":
        return 0, 0
    if not good and failed == 0:
        failed = 1
    if good and passed == 0 and not CASES.search(output) and not DOCTEST.search(output):
        passed = 1
    return passed, failed


def main():
    passed = failed = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as log:
            for line in log:
                test_passed, test_failed = count(json.loads(line))
                passed, failed = passed + test_passed, failed + test_failed
    print(passed, failed)


if __name__ == "__main__":
    main()
