#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
# Photographs into a set, and from it to training and validation, as users meet it. TAP.
import csv
import hashlib
import json
import os
import random
import struct
import sys

from cli import check, colours, fail, grey, main, path, png, read, run, succeed, train, write

SIDE = 120  # of most pictures; smaller than --side, so that a set holds them as they are
N = 12
# A name with all that CSV has to quote.
ODD = 'a, "b"\nc.png'


def pixels_of(pixel):
    return bytes(value for y in range(SIDE) for x in range(SIDE) for value in pixel(x / SIDE, y / SIDE))


def is_held(pixel, share):
    """The split as set.h describes it, made anew: SHA-256 of size and pixels."""
    digest = hashlib.sha256(struct.pack("<II", SIDE, SIDE) + pixels_of(pixel)).digest()
    return (struct.unpack("<Q", digest[:8])[0] >> 11) / 2**53 < share


def lively(number):
    """9 x 8 cells of colours, no two pictures and no two halves alike."""
    rng = random.Random(number)
    cells = [tuple(rng.randrange(20, 230) for _ in range(3)) for _ in range(72)]
    return lambda u, v: cells[int(8 * v) * 9 + int(9 * u)]


def rows_of(name):
    with open(path(name), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ---- what is claimed ----------------------------------------------------------------------------


def landscape_layout_is_taken_as_it_is():
    for i in range(5):
        write("landscape Images/color/%d.png" % i, png(SIDE, SIDE, colours(i)))
        write("landscape Images/gray/%d.png" % i, png(SIDE, SIDE, grey))
    out = succeed("prepare", "--out", "kaggle.set", "--report", "kaggle.csv", "landscape Images")
    check("5 pictures taken, 0 left out" in out, out)
    check(out.count("gray") == 1 and "5 pictures are passed over" in out, out)
    rows = rows_of("kaggle.csv")
    check(len(rows) == 1 and rows[0]["verdict"] == "passed-over", rows)


def report_says_what_was_refused_and_why():
    sepia = lambda u, v: (int(40 + 200 * v), int(32 + 160 * v), int(23 + 116 * v))
    write("refused/good.png", png(SIDE, SIDE, colours(1)))
    write("refused/zz-again.png", png(SIDE, SIDE, colours(1)))
    write("refused/grey.png", png(SIDE, SIDE, grey))
    write("refused/sepia.png", png(SIDE, SIDE, sepia))
    write("refused/tiny.png", png(30, 200, colours(1)))
    write("refused/cut.png", png(SIDE, SIDE, colours(2))[:200])
    write("refused/" + ODD, png(30, 30, grey))
    expected = {"grey.png": "grey", "sepia.png": "toned", "tiny.png": "tiny", "cut.png": "broken",
                "zz-again.png": "duplicate", ODD: "tiny"}
    out = succeed("prepare", "--out", "r.set", "--report", "r.csv", "refused")
    check("1 pictures taken, 6 left out" in out, out)
    rows = rows_of("r.csv")
    check({os.path.basename(row["path"]): row["verdict"] for row in rows} == expected, rows)
    reasons = {os.path.basename(row["path"]): row["reason"] for row in rows}
    check("30x200" in reasons["tiny.png"] and "cannot read" in reasons["cut.png"], reasons)
    check("good.png" in reasons["zz-again.png"] and "chroma" in reasons["grey.png"], reasons)
    succeed("prepare", "--out", "r.set", "--report", "r.json", "refused")
    report = json.loads(read("r.json"))
    check(report["pictures"] == rows, "JSON and CSV differ", report)
    check(report["set"] == "r.set" and report["counts"]["taken"] == 1, report)
    check(report["counts"]["tiny"] == 2 and report["counts"]["near-duplicate"] == 0, report)
    fail(1, "nowhere/r.csv", "prepare", "--out", "r.set", "--report", "nowhere/r.csv", "refused")


def report_is_written_when_nothing_is_taken():
    done = run("prepare", "--out", "none.set", "--report", "none.csv", "refused/grey.png")
    check(done.returncode == 1 and "no picture in colour" in done.stderr, done.stderr)
    check([row["verdict"] for row in rows_of("none.csv")] == ["grey"], "rows")


def near_duplicates_across_the_split_are_told_and_go():
    """The same photographs a little lighter: of each pair with a held-back half one goes."""
    expected = 0
    for i in range(N):
        plain = lively(i)
        lighter = lambda u, v, plain=plain: tuple(value + 3 for value in plain(u, v))
        write("pairs/%02d.png" % i, png(SIDE, SIDE, plain))
        write("pairs/%02d-b.png" % i, png(SIDE, SIDE, lighter))
        expected += is_held(plain, 0.4) or is_held(lighter, 0.4)
    check(0 < expected < N, expected)
    arguments = ["prepare", "--out", "n.set", "--report", "n.json", "--validation", "0.4", "--near-bits", "2",
                 "pairs"]
    out = succeed(*arguments)
    check("%d pictures taken, %d left out" % (2 * N - expected, expected) in out, expected, out)
    rows = json.loads(read("n.json"))["pictures"]
    check(len(rows) == expected, rows)
    for row in rows:
        name = os.path.basename(row["path"])
        check(row["verdict"] == "near-duplicate" and "pairs/" + name[:2] in row["reason"], row)
        check("of 64 bits differ" in row["reason"] and "held back" in row["reason"], row)
    size = len(read("n.set"))
    out = succeed(*arguments, "--near-duplicates", "keep")
    check("%d pictures taken, 0 left out" % (2 * N) in out, out)
    check(len(json.loads(read("n.json"))["pictures"]) == expected, "those kept are told")
    check(len(read("n.set")) > size + expected * SIDE * SIDE * 3, "they were not kept")
    # Validation photographs of one's own: the copy goes, and so does what looks like it.
    out = succeed("prepare", "--out", "n.set", "--report", "n.json", "--validation", "0", "--unlike",
                  "pairs/00.png", "--unlike", "pairs/05.png", "pairs")
    check("%d pictures taken, 4 left out" % (2 * N - 4) in out, out)
    rows = json.loads(read("n.json"))["pictures"]
    check(all("not to be trained on" in row["reason"] for row in rows), rows)
    fail(1, "nowhere", "prepare", "--out", "n.set", "--unlike", "nowhere", "pairs")


def bug_08_validation_looks_at_held_out_pictures_as_they_are():
    """The seed built its validation loader, flipped it at random and never ran it. Here the figures of
    a run are those that evaluate finds on exactly the pictures that are held out, unmirrored."""
    held = [i for i in range(N) if is_held(lively(i), 0.5)]
    check(0 < len(held) < N, held)
    for i in range(N):
        plain = lively(i)
        write("all/%02d.png" % i, png(SIDE, SIDE, plain))
        write(("held/%02d.png" if i in held else "trained/%02d.png") % i, png(SIDE, SIDE, plain))
        if i in held:
            write("turned/%02d.png" % i, png(SIDE, SIDE, lambda u, v: plain(1 - 1 / SIDE - u, v)))
    succeed("prepare", "--out", "v.set", "all")
    succeed(*train("v", "--data", "v.set", "--set", "data.validation=0.5", "--set", "data.flip=1", "--set",
                   "train.images=32", "--set", "run.validate-every=8"))
    last = rows_of("v/validation.csv")[-1]
    check(int(last["pictures"]) == len(held), last, held)
    gains = {}
    for folder in ("held", "turned", "trained"):
        succeed("evaluate", "--data", folder, "--weights", "v/ema.safetensors", "--size", "192", "--json",
                path("v.json"), "--threads", "1", "--device", "cpu")
        gains[folder] = json.loads(read("v.json"))["rows"][1]["gain_over_grey_db"]
    # The log has four places.
    check(abs(float(last["gain_db"]) - gains["held"]) < 1e-4, last, gains)
    check(abs(gains["turned"] - gains["held"]) > 4e-4, "mirroring would not be seen", gains)
    check(abs(gains["trained"] - gains["held"]) > 4e-4, "other pictures would not be seen", gains)


CLAIMS = [landscape_layout_is_taken_as_it_is, report_says_what_was_refused_and_why,
          report_is_written_when_nothing_is_taken, near_duplicates_across_the_split_are_told_and_go,
          bug_08_validation_looks_at_held_out_pictures_as_they_are]

if __name__ == "__main__":
    sys.exit(main("cli_prepare", CLAIMS))
