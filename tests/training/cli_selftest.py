#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
# colorizer selftest as its users meet it: the table, the report, and what does not work. TAP.
import os
import re
import socket
import subprocess
import sys

import cli
from cli import PROGRAM, ROOT, check, fail, path, read, succeed, write

ROWS = {}  # of the first run: (what, type): the row's other words


def selftest(*more, **environment):
    return subprocess.run([PROGRAM, "selftest", "--quick", "--device", "cpu", *more], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=cli.TIMEOUT, text=True, cwd=cli.work,
                          env=dict(os.environ, **environment))


def rows(text):
    found = re.findall(r"^(\S.{31}) (F32|BF16|F16) +(\d+) +(\S+) +(\S+)  (.{22}) (ok|FAILED)$", text, re.M)
    return {(row[0].strip(), row[1]): row[2:] for row in found}


def every_row_is_within_its_bound():
    done = selftest("--report", "report.txt", HOME=cli.work)
    check(done.returncode == 0 and not done.stderr, done)
    ROWS.update(rows(done.stdout))
    check(len(ROWS) > 60 and all(row[-1] == "ok" for row in ROWS.values()), done.stdout)
    for row in (("conv2d", "F32"), ("conv2d", "BF16"), ("adamw", "F32"), ("its gradients", "F32"), ("training", "F32"),
                ("training with a critic", "F32"), ("bundled weights, 224x168", "BF16")):
        check(row in ROWS, "no row", row, done.stdout)
    check(all(float(row[1]) <= float(row[2]) for row in ROWS.values()), done.stdout)
    check("All %d rows" % len(ROWS) in done.stdout and "pictures/s" not in done.stdout, done.stdout)
    check("Tested is cpu, held against reference;" in done.stdout and "issue of this project" in done.stdout, done.stdout)


def report_is_the_table_and_names_nobody():
    report = read("report.txt").decode("utf-8")
    check(rows(report) == ROWS, "other rows")
    for words in ("colorizer ", "kernel ", "CPU ", "C library ", "reference ", "No GPU was found"):
        check(words in report, "no", words, report)
    check(socket.gethostname() not in report and cli.work not in report, report)
    check(not [name for name in os.listdir(cli.work) if "report" in name and name != "report.txt"], "left behind")


def paths_at_home_are_cut_to_the_files_name():
    folder = path("private", "modules")
    os.makedirs(folder)
    done = selftest("--report", "home.txt", HOME=cli.work,
                    COLORIZE_WEIGHTS=write("private/modules/w.safetensors", b"no weights"))
    check(done.returncode == 1, done)
    for text in (done.stdout.replace(cli.work + "/home.txt", ""), read("home.txt").decode()):
        check("~/w.safetensors" in text and "private" not in text, text)


def damaged_weights_are_rows_that_failed():
    with open(os.path.join(ROOT, "weights", "photo.safetensors"), "rb") as file:
        damaged = write("damaged.safetensors", file.read()[:5000])
    done = selftest(COLORIZE_WEIGHTS=damaged)
    check(done.returncode == 1, done)
    failed = [row for row, words in rows(done.stdout).items() if words[-1] == "FAILED"]
    check(failed and all(row[0].startswith("bundled weights") for row in failed), failed)
    check("damaged.safetensors" in done.stdout and "%d of %d rows FAILED" % (len(failed), len(ROWS)) in done.stdout,
          done.stdout)


def what_cannot_be_is_a_sentence():
    fail(1, "abacus|expected auto", "selftest", "--device", "abacus")
    fail(1, "reference", "selftest", "--device", "reference")
    fail(1, "cuda|not", "selftest", "--device", "cuda")
    fail(2, "no-such-option", "selftest", "--no-such-option")
    fail(2, "options", "selftest", "more")
    fail(2, "--threads", "selftest", "--threads", "-1")
    fail(1, "nowhere", "selftest", "--quick", "--device", "cpu", "--report", "nowhere/r.txt")
    check("--report" in succeed("selftest", "--help") and "selftest" in succeed("--help"), "help")


CLAIMS = [every_row_is_within_its_bound, report_is_the_table_and_names_nobody,
          paths_at_home_are_cut_to_the_files_name, damaged_weights_are_rows_that_failed,
          what_cannot_be_is_a_sentence]

if __name__ == "__main__":
    sys.exit(cli.main("cli-selftest", CLAIMS))
