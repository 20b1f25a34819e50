#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
# colorizer sweep as its users meet it: refusals, failed runs, kills, and the ranking. TAP.
#   cli_sweep.py          what takes seconds (suite cpu)
#   cli_sweep.py long     twelve runs, killed and resumed (suite slow)
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import cli
from cli import check, fail, path, png_size, read, run, succeed

# One picture held back is enough to have a score.
TINY = ["--set", "data.validation=0.1", "--set", "run.validate-every=1000"]


def sweep(out, *more):
    return ["sweep", "--data", "a.set", "--recipe", cli.SMOKE, "--out", out, "--device", "cpu", "--threads",
            "1", *TINY, *more]


def state(out):
    return json.loads(read(os.path.join(out, "sweep.json")))


def ranking(out):
    return list(csv.DictReader(read(os.path.join(out, "ranking.csv")).decode().splitlines()))


def children_of(out):
    """Trainings that run in this folder, by their command lines."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open("/proc/%s/cmdline" % pid, "rb").read().split(b"\0")
        except OSError:
            continue
        if b"train" in words and any(word.startswith((out + "/run-").encode()) for word in words):
            found.append(int(pid))
    return found


def wait_until(truth, what):
    for _ in range(1200):
        if truth():
            return
        time.sleep(0.05)
    check(False, "waited in vain for", what)


def impossible_sweeps_are_refused_before_anything_starts():
    succeed("prepare", "--out", "a.set", "pictures")
    fail(1, "there is no key optimizer.rat", *sweep("s", "--grid", "optimizer.rat=1"))
    fail(1, "from 0 to 1", *sweep("s", "--grid", "optimizer.rate=1e-3,7"))
    fail(1, "above 0", *sweep("s", "--random", "optimizer.rate=log:0:1", "--runs", "3"))
    fail(1, "nothing is swept", *sweep("s"))
    fail(1, "--runs", *sweep("s", "--random", "optimizer.rate=log:1e-4:1"))
    fail(1, "run 1 (65): data.crop is odd", *sweep("s", "--grid", "data.crop=64,65"))
    fail(1, "too few for 8 rungs", *sweep("s", "--grid", "optimizer.rate=1e-3", "--rungs", "8"))
    fail(1, "nowhere.sweep", *sweep("s", "--sweep", "nowhere.sweep"))
    fail(2, "--score", *sweep("s", "--grid", "optimizer.rate=1e-3", "--score", "beauty"))
    fail(2, "--jobs", *sweep("s", "--grid", "optimizer.rate=1e-3", "--jobs", "0"))
    check(not os.path.exists(path("s")), "something has begun")
    out = succeed(*sweep("s", "--grid", "optimizer.rate=1e-3,1e-2,1e-1", "--dry-run"))
    check("3 runs in 2 rungs" in out and "001  optimizer.rate=1e-2" in out, out)
    check(not os.path.exists(path("s")), "a dry run has begun")


def failed_run_is_a_row_and_stops_no_other():
    cli.write("broken.safetensors", b"no weights")
    out = succeed(*sweep("f", "--grid", "network.start=,broken.safetensors", "--rungs", "1", "--set",
                         "train.images=8"))
    rows = ranking("f")
    check([row["run"] for row in rows] == ["000", "001"], rows)
    check("broken.safetensors" in rows[1]["error"] and rows[1]["rank"] == "-", rows)
    check("failed: " in out and "done: f/ranking.csv" in out, out)
    # The table has four digits after the point.
    check(abs(float(rows[0]["gain"]) - state("f")["runs"][0]["scores"][0]) < 0.51e-4, rows)
    fail_all = run(*sweep("f2", "--grid", "network.start=broken.safetensors"))
    check(fail_all.returncode == 1 and "every run failed" in fail_all.stderr, fail_all.stderr)
    fail(1, "another sweep", *sweep("f", "--grid", "network.start=,broken.safetensors", "--rungs", "1"))


# Rate x batch x weight decay, twelve runs, 40 steps of four pictures at most.
LONG = ["--grid", "optimizer.rate=1e-4,1e-3,1e-2", "--grid", "train.batch=2,4", "--grid",
        "optimizer.decay=1e-4,1e-1", "--set", "train.images=72", "--set", "run.log-every=1"]


def twelve_runs_end_with_a_ranking():
    succeed("prepare", "--out", "a.set", "pictures")
    out = succeed(*sweep("whole", *LONG, "--jobs", "2"))
    rows = ranking("whole")
    check([row["rungs"] for row in rows] == ["3"] + ["2"] * 3 + ["1"] * 8, rows)
    for rung in "123":
        gains = [float(row["gain"]) for row in rows if row["rungs"] == rung]
        check(gains == sorted(gains, reverse=True), rows)
    check(rows[0]["images"] == "72" and rows[-1]["images"] == "8", rows)
    check("rank correlation" in out and "share of variance" in out, out)
    check(all(row["optimizer.rate"] in out for row in rows), out)
    check(png_size("whole/plots.png")[0] > 1000, "plots.png")
    check(os.path.exists(path("whole", "run-" + rows[0]["run"], "final.safetensors")), "the best in full")


def killed_and_resumed_is_the_uninterrupted_sweep():
    """Once with kill -9, then with Ctrl-C; children save, are resumed, and nothing is lost."""
    command = [cli.PROGRAM, *sweep("cut", *LONG, "--jobs", "2")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cli.work)
    for line in process.stdout:
        if line.startswith("run 002"):
            break
    wait_until(lambda: len(children_of("cut")) > 0, "a child")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    wait_until(lambda: not children_of("cut"), "children to end after their sweep")
    check(sum(run["state"] == "scored" for run in state("cut")["runs"]) >= 3, state("cut"))

    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cli.work)
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith("rung 2"):
            wait_until(lambda: len(children_of("cut")) == 2, "two children")
            process.send_signal(signal.SIGINT)
    check(process.wait() == 0, seen)
    check("run 000" not in "".join(line.split(":")[0] for line in seen if line.startswith("run")), seen)
    check("the same command goes on" in "".join(seen), seen)
    check(not children_of("cut"), "children are left")
    check(state("cut")["rung"] == 1, state("cut"))

    succeed(*sweep("cut", *LONG, "--jobs", "2"))
    whole, cut = ranking("whole"), ranking("cut")
    for row in whole + cut:
        row.pop("seconds")
    check(whole == cut, whole, cut)
    best = "run-" + cut[0]["run"] + "/final.safetensors"
    check(cli.weights_bytes("whole/" + best) == cli.weights_bytes("cut/" + best), "other weights")


def two_sweeps_never_share_a_folder():
    endless = sweep("cut", *LONG, "--set", "train.images=100000")  # longer than anybody waits
    shutil.rmtree(path("cut"), ignore_errors=True)
    process = subprocess.Popen([cli.PROGRAM, *endless], stdout=subprocess.DEVNULL, cwd=cli.work)
    wait_until(lambda: children_of("cut"), "a child")
    done = subprocess.run([cli.PROGRAM, *endless], stderr=subprocess.PIPE, text=True,
                          stdout=subprocess.DEVNULL, cwd=cli.work)
    process.send_signal(signal.SIGINT)
    process.wait()
    check(done.returncode == 1 and "another sweep runs" in done.stderr, done.stderr)


SHORT_CLAIMS = [impossible_sweeps_are_refused_before_anything_starts, failed_run_is_a_row_and_stops_no_other]
LONG_CLAIMS = [twelve_runs_end_with_a_ranking, killed_and_resumed_is_the_uninterrupted_sweep,
               two_sweeps_never_share_a_folder]

if __name__ == "__main__":
    long = "long" in sys.argv[1:]
    cli.TIMEOUT = 1500  # a sweep is many trainings
    sys.argv = [name for name in sys.argv if name != "long"]
    sys.exit(cli.main("cli_sweep", LONG_CLAIMS if long else SHORT_CLAIMS))
