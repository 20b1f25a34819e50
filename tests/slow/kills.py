#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Kills (-9) at random moments of small runs, each resumed:  kills.py N

Whatever is cut off, each run ends with the weights of the uninterrupted one, and with its log. As TAP.
"""
import csv
import glob
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(os.environ["COLORIZE_SOURCE_ROOT"]) / "tests/training"))
import cli  # noqa: E402

# A critic joins in, checkpoints and sheets are written all the time: kills hit those, too.
RUN = ["--set", "train.batch=2", "--set", "data.crop=32", "--set", "train.images=24", "--set", "run.log-every=2",
       "--set", "run.validate-every=8", "--set", "run.keep-every=5", "--set", "loss.gan=0.1", "--set", "gan.width=8",
       "--set", "gan.from=8", "--set", "data.validation=0.3", "--set", "run.sheet-pictures=2"]
OF_THE_CLOCK = ("images_per_s", "loader_wait")


def command(folder):
    resume = ["--resume"] if glob.glob(cli.path(folder, "checkpoint-?.safetensors")) else []
    return [cli.PROGRAM, *cli.train(folder, *RUN, *resume)]


def weights(folder):
    return cli.weights_bytes(os.path.join(folder, "final.safetensors"))


def log(folder):
    with open(cli.path(folder, "log.csv"), newline="", encoding="utf-8") as file:
        return [{name: text for name, text in row.items() if name not in OF_THE_CLOCK} for row in csv.DictReader(file)]


def go_on(folder, delay):
    """True: it was killed; False: it had ended by itself."""
    with subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          cwd=cli.work) as process:
        try:
            _, errors = process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return True
    cli.check(process.returncode == 0, "exit", process.returncode, errors)
    return False


def main():
    n_kills, rng = int(sys.argv[1]), random.Random(1)
    cli.make_pictures()
    cli.succeed("prepare", "--out", "a.set", "pictures")
    began = time.monotonic()
    cli.succeed(*command("whole")[1:])
    whole = time.monotonic() - began
    expected, lines = weights("whole"), log("whole")
    kills, runs, wrong = 0, 0, []
    while kills < n_kills:
        folder = f"run-{runs}"
        while go_on(folder, rng.uniform(0, 0.7 * whole) if kills < n_kills else None):
            kills += 1
        if weights(folder) != expected:
            wrong.append(f"{folder}: other weights")
        if log(folder) != lines:
            wrong.append(f"{folder}: another log")
        shutil.rmtree(cli.path(folder))
        runs += 1
        print(f"# {kills} kills, {runs} runs, {len(wrong)} wrong", flush=True)
    shutil.rmtree(cli.work)
    print("1..1")
    for line in wrong:
        print("#", line)
    print(f"{'not ok' if wrong else 'ok'} 1 - {kills} kills in {runs} runs: weights and logs of the uninterrupted one")


if __name__ == "__main__":
    main()
