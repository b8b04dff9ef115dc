#!/usr/bin/env python3
"""Runs the test classes of one file and prints how many cases passed: run_tests.py FILE [CASE...]

The last line is `cases: N passed, N failed, N skipped`; scripts/test adds these up. A skipped case prints its reason.
"""

import importlib.util
import os
import pathlib
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


class Result(unittest.TextTestResult):
    """One line a case, with its time; counts what passed."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.passed = 0
        self.failed_cases = set()

    def startTest(self, test):
        self.started = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.failed_cases.add(test.id())

    def addError(self, test, err):
        super().addError(test, err)
        self.failed_cases.add(test.id())

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed_cases.add(test.id())

    def stopTest(self, test):
        super().stopTest(test)
        self.stream.writeln(f"    {time.monotonic() - self.started:.2f} s")

    def getDescription(self, test):
        return test.id().split(".", 1)[-1]


def load(path):
    sys.path.insert(0, str(pathlib.Path(path).resolve().parent))  # what the tests of a folder share
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    module = load(sys.argv[1])
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{name}*" for name in sys.argv[2:]] or None
    suite = loader.loadTestsFromModule(module)
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result)
    result = runner.run(suite)
    failed = len(result.failed_cases)
    print(f"cases: {result.passed} passed, {failed} failed, {len(result.skipped)} skipped", flush=True)
    os._exit(1 if failed or result.passed + len(result.skipped) == 0 else 0)


if __name__ == "__main__":
    main()
