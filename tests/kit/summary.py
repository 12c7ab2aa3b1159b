#!/usr/bin/env python3
"""Counts what a whole test run has tried, and says so in its last line: N passed, N failed.

    summary.py [--steps FILE] TESTLOG.JSON...

FILE has a line "ok NAME" or "failed NAME" for each step that is a test as a whole (a build, a
check). Each TESTLOG.JSON is what `meson test` left; where a test program tells how many cases
it has, these are counted, and otherwise it counts as one. A program that ended badly counts
at least one failure, whatever it said. Exit 1 unless all passed.
"""

import argparse
import json
import os
import re
import sys

GOOD = {"OK", "EXPECTEDFAIL"}


def counted(text):
    """(passed, failed, skipped) as the test program told them, or None."""
    if found := re.findall(r"^\[  (PASSED|FAILED)  \] (\d+) test", text, re.M):     # cmocka
        return (sum(int(count) for word, count in found if word == "PASSED"),
                sum(int(count) for word, count in found if word == "FAILED"),
                sum(map(int, re.findall(r"^\[  SKIPPED \] (\d+) test", text, re.M))))
    if found := re.findall(r"^Ran (\d+) tests? in .*\n\n(.*)$", text, re.M):        # unittest
        total = sum(int(count) for count, _ in found)
        words = " ".join(end for _, end in found)
        failed = sum(map(int, re.findall(r"(?:failures|errors|unexpected successes)=(\d+)", words)))
        skipped = sum(map(int, re.findall(r"skipped=(\d+)", words)))
        return max(0, total - failed - skipped), failed, skipped
    if found := re.findall(r"^(\d+) (samples|passed), (\d+) failed", text, re.M):     # our own
        failed = sum(int(bad) for *_, bad in found)
        return sum(int(count) - (int(bad) if word == "samples" else 0) for count, word, bad in found), failed, 0
    return None


def tests(path):
    """Each test of a meson log: (name, passed, failed, skipped)."""
    with open(path, encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            text = test.get("stdout", "") + "\n" + test.get("stderr", "")
            passed, failed, skipped = counted(text) or ((1, 0, 0) if test["result"] in GOOD else (0, 1, 0))
            if test["result"] == "SKIP":
                passed, failed, skipped = 0, 0, 1
            elif test["result"] not in GOOD:
                failed = max(failed, 1)
            elif not passed + failed + skipped:
                failed = 1      # a program that tries nothing proves nothing
            yield test["name"], passed, failed, skipped, text


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description="count passed and failed tests")
    parser.add_argument("--steps")
    parser.add_argument("logs", nargs="*")
    args = parser.parse_args()
    total = [0, 0, 0]
    if args.steps:
        with open(args.steps, encoding="utf-8") as steps:
            for line in steps:
                result, _, name = line.strip().partition(" ")
                total[0 if result == "ok" else 1] += 1
                if result != "ok":
                    print(f"failed: {name}")
    for path in args.logs:
        if not os.path.exists(path):
            print(f"failed: {path} is missing, its tests did not run")
            total[1] += 1
            continue
        where = os.path.relpath(os.path.dirname(os.path.dirname(path)))
        for name, passed, failed, skipped, text in tests(path):
            for place, count in enumerate((passed, failed, skipped)):
                total[place] += count
            if failed:
                print(f"failed: {name} ({where}): {failed} of {passed + failed}")
            for reason in re.findall(r"^.*skipped ['\"].*$", text, re.M) if skipped else ():
                print(f"skipped: {name} ({where}): {reason}")
    if total[2]:
        print(f"{total[2]} skipped")
    print(f"{total[0]} passed, {total[1]} failed", flush=True)
    sys.exit(1 if total[1] else 0)


if __name__ == "__main__":
    main()
