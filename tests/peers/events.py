#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""A run's events, read by TensorBoard's own reader and held against its log.csv, as TAP."""
import csv
import os
import pathlib
import shutil
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(os.environ["COLORIZE_SOURCE_ROOT"]) / "tests/training"))
import cli  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader  # noqa: E402

# With a critic from the fifth step on, so that some scalars begin late; stopped and resumed.
RUN = ["--set", "loss.gan=0.1", "--set", "gan.width=8", "--set", "gan.from=16", "--set", "data.validation=0.3"]
FIGURES = {"loss": "loss/total", "gan": "loss/gan_unweighted", "norm": "norm/generator", "rate": "rate/generator", "chroma": "chroma/output",
           "chroma_true": "chroma/truth", "spread": "spread/output", "spread_true": "spread/truth",
           "gamut": "chroma/out_of_gamut", "images_per_s": "speed/images_per_s", "loader_wait": "speed/loader_wait",
           "rate_encoder": "rate/encoder", "rate_critic": "rate/critic", "rollbacks": "speed/rollbacks",
           "skipped": "speed/skipped", "outliers": "speed/outliers"}
CRITIC = {"critic_loss": "critic/loss", "critic_norm": "norm/critic", "logit_real": "critic/logit_real",
          "logit_fake": "critic/logit_fake", "right_real": "critic/right_real", "right_fake": "critic/right_fake",
          "r1": "critic/r1"}


def read_back():
    accumulator = EventAccumulator(cli.path("run"), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def table(name):
    with open(cli.path("run", name), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def near(a, b):
    return abs(a - b) <= 1e-5 * abs(b) + 1e-12  # log.csv has six digits


def compare(tag, column, rows):
    found = read_back().Scalars(tag)
    cli.check([event.step for event in found] == [int(row["step"]) for row in rows], tag, found)
    for event, row in zip(found, rows):
        cli.check(near(event.value, float(row[column])), tag, event, row[column])


def every_scalar_of_the_log_is_read_back():
    rows = table("log.csv")
    cli.check(len(rows) == 12, rows)
    for column, tag in FIGURES.items():
        compare(tag, column, rows)
    for column, tag in CRITIC.items():
        compare(tag, column, rows[4:])
    terms = [name for name in rows[0] if name.startswith("loss.")]
    for column in terms:
        compare(column.replace(".", "/", 1), column, [row for row in rows if row[column]])
    known = {"step", "images", "gan", *FIGURES, *CRITIC, *terms}
    cli.check(set(rows[0]) <= known, "columns that no tag was compared with:", set(rows[0]) - known)


def validations_are_read_back():
    rows = table("validation.csv")
    cli.check(len(rows) == 2, rows)
    for column in rows[0]:
        if column != "step":
            compare("validation/" + column, column, rows)


def sheets_are_read_back():
    images = read_back().Images("sheet")
    cli.check([image.step for image in images] == [6, 12], images)
    cli.check(images[1].encoded_image_string == cli.read("run/sheet.png"), "another picture")
    cli.check((images[1].width, images[1].height) == cli.png_size("run/sheet.png")[:2], "size")


def nothing_is_told_twice():
    name = cli.path("run", "events.out.tfevents.colorizer")
    steps = [event.step for event in LegacyEventFileLoader(name).Load()]
    cli.check(steps == sorted(steps), steps)


CLAIMS = [every_scalar_of_the_log_is_read_back, validations_are_read_back, sheets_are_read_back,
          nothing_is_told_twice]


def main():
    cli.make_pictures()
    cli.succeed("prepare", "--out", "a.set", "pictures")
    cli.cut_off("run", cli.signal.SIGKILL, *RUN)
    cli.succeed(*cli.train("run", "--resume", *RUN))
    print(f"1..{len(CLAIMS)}")
    for number, claim in enumerate(CLAIMS, 1):
        try:
            claim()
            result = "ok"
        except Exception:
            result = "not ok"
            print("\n".join("# " + line for line in traceback.format_exc().split("\n")))
        print(f"{result} {number} /peers/tensorboard/{claim.__name__}", flush=True)
    shutil.rmtree(cli.work)


if __name__ == "__main__":
    main()
