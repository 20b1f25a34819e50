#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Sums up a run of meson test:  tally.py BUILD

Cases are counted from meson's junit log; times, and tests that died before they could say what is wrong,
come from its other log. Prints what was skipped and why, each suite's time, and
last `N passed, N failed, N skipped`. Exit status 1 if anything failed or nothing ran.
"""
import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict


def read_cases(path):
    """{test: [(case, "passed" | "failed" | "skipped", reason)]}"""
    cases = defaultdict(list)
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            # A TAP program is a suite of its own, "project.test"; a plain program is a case.
            # Both are called "project:suite / test", and the first has "project." before it.
            test = suite.get("name").partition(".")[2] or case.get("name")
            verdict = "passed"
            if case.find("skipped") is not None:
                verdict = "skipped"
            if case.find("failure") is not None or case.find("error") is not None:
                verdict = "failed"
            cases[test].append((case.get("name"), verdict, case.findtext("system-out", "").strip()))
    return cases


def main(build):
    logs = build / "meson-logs"
    try:
        cases = read_cases(logs / "testlog.junit.xml")
        runs = [json.loads(line) for line in (logs / "testlog.json").read_text().splitlines()]
    except (OSError, ValueError, ElementTree.ParseError) as error:
        sys.exit(f"tally: no complete log of a test run: {error}")

    total = dict.fromkeys(("passed", "failed", "skipped"), 0)
    seconds = defaultdict(float)
    for run in runs:
        name = run["name"]
        seconds[name.partition(" / ")[0].rpartition(":")[2]] += run["duration"]
        verdicts = [verdict for _, verdict, _ in cases[name]]
        for verdict in verdicts:
            total[verdict] += 1
        if run["result"] not in ("OK", "SKIP", "EXPECTEDFAIL") and "failed" not in verdicts:
            total["failed"] += 1
            print(f"failed: {name}: {run['result'].lower()}")
        for case, verdict, reason in cases[name]:
            if verdict == "failed":
                print(f"failed: {name}: {case}")
            elif verdict == "skipped":
                print(f"skipped: {name}: {case}: {reason or 'no reason given'}")
    for suite, time in sorted(seconds.items()):
        print(f"suite {suite}: {time:.1f} s")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1])))
