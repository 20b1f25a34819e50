#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
# The program as its users meet it: exit codes, sentences, files, and runs that are cut off. TAP.
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import traceback
import zlib

ROOT = os.environ["COLORIZE_SOURCE_ROOT"]
PROGRAM = os.path.join(os.environ["COLORIZE_BUILD_ROOT"], "training", "colorizer")
SMOKE = os.path.join(ROOT, "training", "recipes", "smoke.conf")
COMMANDS = ["prepare", "train", "sweep", "average", "hints", "apply", "evaluate", "inspect"]
# Twelve steps with a checkpoint after each, so that a run can be cut off anywhere.
SHORT = ["--set", "train.images=48", "--set", "run.log-every=1", "--set", "run.validate-every=6"]
TIMEOUT = 120

os.environ["LC_ALL"] = "C.UTF-8"
work = tempfile.mkdtemp(prefix="colorize-cli-")


def path(*parts):
    return os.path.join(work, *parts)


def write(name, data):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "wb") as file:
        file.write(data)
    return path(name)


def read(name):
    with open(path(name), "rb") as file:
        return file.read()


def check(truth, *what):
    if not truth:
        raise AssertionError(" ".join(str(word) for word in what))


# ---- files --------------------------------------------------------------------------------------


def png(width, height, pixel, channels=3, depth=8):
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b""
    for y in range(height):
        values = [value for x in range(width) for value in pixel(x / width, y / height)]
        rows += b"\0" + struct.pack(">%d%s" % (len(values), "B" if depth == 8 else "H"), *values)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) +
            chunk(b"IEND", b""))


def colours(number):
    return lambda u, v: (int(30 + 200 * u), int(30 + 200 * v), (40 * number + int(90 * u * v)) % 256)


def grey(u, v):
    return (int(255 * u * v),) * 3


def png_size(name):
    data = read(name)
    check(data[:8] == b"\x89PNG\r\n\x1a\n", name, "is no PNG")
    return struct.unpack(">IIBB", data[16:26])


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def weights_bytes(name):
    """A weights file without the day on which it was made."""
    data = read(name)
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header["__metadata__"].pop("colorize.date")
    return json.dumps(header, sort_keys=True).encode() + data[8 + size:]


def make_pictures():
    for i in range(10):
        write("pictures/%d.png" % i, png(112 + 4 * i, 120, colours(i)))
    write("pictures/grey.png", png(120, 120, grey))
    write("pictures/tiny.png", png(30, 30, colours(1)))
    write("pictures/text.jpg", b"this is no photograph\n")
    write("photo.png", png(70, 50, grey))


# ---- the program --------------------------------------------------------------------------------


def run(*args):
    done = subprocess.run([PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=TIMEOUT, text=True, cwd=work)
    check(not re.search("CRITICAL|WARNING|ERROR \\*\\*", done.stderr), "library noise:", done.stderr)
    return done


def succeed(*args):
    done = run(*args)
    check(done.returncode == 0, "exit", done.returncode, args, done.stderr)
    return done.stdout


def fail(code, words, *args):
    """Ends with this code and one sentence on stderr that has all these words."""
    done = run(*args)
    check(done.returncode == code, "expected exit", code, "found", done.returncode, args, done.stderr)
    lines = done.stderr.strip().split("\n")
    check(lines[-1].startswith("colorizer " + args[0] + ": ") and len(lines) == 1, args, done.stderr)
    for word in words.split("|"):
        check(word in lines[0], "no '%s' in" % word, done.stderr)


def train(folder, *more):
    return ["train", "--data", "a.set", "--recipe", SMOKE, "--run", folder, "--threads", "1", "--device",
            "cpu", *SHORT, *more]


def cut_off(folder, how, *more):
    """Starts a run and sends it a signal in the midst of it."""
    process = subprocess.Popen([PROGRAM, *train(folder, *more)], stdout=subprocess.PIPE, text=True, cwd=work)
    for line in process.stdout:
        if line.startswith("step 5 "):
            process.send_signal(how)
            break
    rest = process.stdout.read()
    check(not os.path.exists(path(folder, "final.safetensors")), "it was over before it was cut off")
    return process.wait(TIMEOUT), rest


# ---- what is claimed ----------------------------------------------------------------------------


def help_is_given_everywhere():
    check("Usage" in succeed("--help"), "no usage")
    check(succeed("--version").startswith("colorizer "), "no version")
    for command in COMMANDS:
        check("--help" in succeed(command, "--help"), command)
        check(command in succeed("--help"), command)
    for key in ("optimizer.rate", "loss.huber", "data.crop"):
        check(key in succeed("train", "--help"), key)


def wrong_usage_is_exit_2():
    check(run().returncode == 2, "no command")
    check(run("colour").returncode == 2, "unknown command")
    for command in COMMANDS:
        fail(2, "", command)
        fail(2, "no-such-option", command, "--no-such-option")
    fail(2, "--out", "prepare", "pictures")
    fail(2, "--side", "prepare", "--out", "b.set", "--side", "3", "pictures")
    fail(2, "--size", "evaluate", "--data", "a.set", "--size", "1")
    fail(2, "--hints|1,0", "evaluate", "--data", "a.set", "--hints", "1,0")
    fail(2, "--strengths", "evaluate", "--data", "a.set", "--strengths", "1,x")
    fail(2, "--strength", "evaluate", "--data", "a.set", "--strength", "3")
    fail(2, "--hint-places", "evaluate", "--data", "a.set", "--hint-places", "here")
    fail(2, "--reach", "evaluate", "--data", "a.set", "--hints", "1", "--reach", "2")
    fail(2, "x", "evaluate", "--data", "a.set", "x")
    fail(2, "range", "hints", "--data", "a.set", "--weights", "w", "--out", "w", "--validation", "0")
    fail(2, "", "inspect", "a", "b")
    fail(2, "--threads", *train("r", "--threads", "-1"))
    fail(2, "many", *train("r", "more"))


def prepare_takes_colour_and_counts_the_rest():
    out = succeed("prepare", "--out", "a.set", "pictures")
    check("10 pictures taken, 3 left out" in out, out)
    fail(1, "nowhere", "prepare", "--out", "b.set", "nowhere")
    check(run("prepare", "--out", "b.set", "pictures/grey.png").returncode == 1, "grey alone")
    check(not os.path.exists(path("b.set")), "a set of nothing")
    check(run("prepare", "--out", "nowhere/b.set", "pictures").returncode == 1, "no such folder")


def train_leaves_all_its_files():
    out = succeed(*train("one"))
    check("step 12 " in out and "images/s" in out and "left" in out, out)
    for name in ("recipe.conf", "log.csv", "log.jsonl", "events.out.tfevents.colorizer", "plots.png",
                 "checkpoint-0.safetensors", "checkpoint-1.safetensors", "good.safetensors", "ema.safetensors",
                 "final.safetensors"):
        check(os.path.exists(path("one", name)), "no", name)
    check(len(read("one/log.csv").split(b"\n")) == 14, read("one/log.csv"))
    check(not [name for name in os.listdir(path("one")) if "tmp" in name or name.startswith(".")],
          os.listdir(path("one")))
    check(read("one/ema.safetensors")[:2000] == read("one/final.safetensors")[:2000], "not the averages")


def same_training_gives_the_same_bytes():
    succeed(*train("two", "--loaders", "3"))
    check(weights_bytes("one/final.safetensors") == weights_bytes("two/final.safetensors"),
          "a second run gave other weights")


def stopped_and_resumed_is_the_uninterrupted_run():
    code, out = cut_off("term", signal.SIGTERM)
    check(code == 0 and "stopped and saved" in out, code, out)
    succeed(*train("term", "--resume"))
    check(weights_bytes("one/final.safetensors") == weights_bytes("term/final.safetensors"),
          "the resumed run gave other weights")


def killed_and_resumed_is_the_uninterrupted_run():
    code, _ = cut_off("kill", signal.SIGKILL)
    check(code == -signal.SIGKILL, code)
    succeed(*train("kill", "--resume"))
    check(weights_bytes("one/final.safetensors") == weights_bytes("kill/final.safetensors"),
          "the resumed run gave other weights")


def stop_after_pauses_and_keeps_the_schedule():
    """A run in three pieces is the run in one; each piece ends with a look at pictures."""
    parts = ["--set", "data.validation=0.2", "--set", "run.validate-every=100", "--set", "train.images=20"]
    succeed(*train("whole", *parts))
    out = succeed(*train("pieces", *parts, "--stop-after", "2"))
    check("stopped and saved" in out and "step 2 " in out and "step 3 " not in out, out)
    check(read("pieces/validation.csv").split(b"\n")[-2].startswith(b"2,"), read("pieces/validation.csv"))
    succeed(*train("pieces", *parts, "--stop-after", "4", "--resume"))
    out = succeed(*train("pieces", *parts, "--stop-after", "4", "--resume"))
    check("step 5 " not in out and "validation on" in out, "nothing is left to do but to look", out)
    check("done" in succeed(*train("pieces", *parts, "--stop-after", "99", "--resume")), "done")
    check(weights_bytes("whole/final.safetensors") == weights_bytes("pieces/final.safetensors"), "others")
    fail(2, "--stop-after", *train("r", "--stop-after", "-1"))


def a_runs_own_recipe_resumes_it():
    shutil.copytree(path("term"), path("own"))
    os.remove(path("own", "final.safetensors"))
    succeed("train", "--data", "a.set", "--recipe", "own/recipe.conf", "--run", "own", "--threads", "1",
            "--resume")
    check(weights_bytes("one/final.safetensors") == weights_bytes("own/final.safetensors"), "others")


def damaged_checkpoints_are_told():
    shutil.copytree(path("term"), path("damaged"))
    newest = max((0, 1), key=lambda i: os.path.getmtime(path("damaged", "checkpoint-%d.safetensors" % i)))
    data = read("damaged/checkpoint-%d.safetensors" % newest)
    write("damaged/checkpoint-%d.safetensors" % newest, data[:len(data) // 2])
    done = run(*train("damaged", "--resume"))
    check(done.returncode == 0 and "passed over" in done.stderr, done.returncode, done.stderr)
    check(weights_bytes("one/final.safetensors") == weights_bytes("damaged/final.safetensors"), "others")


def full_disk_keeps_the_old_checkpoints():
    shutil.copytree(path("term"), path("disk"))
    os.remove(path("disk", "final.safetensors"))
    newest = max((0, 1), key=lambda i: os.path.getmtime(path("disk", "checkpoint-%d.safetensors" % i)))
    os.remove(path("disk", "checkpoint-%d.safetensors" % newest))  # so that there is a step to do
    old = {name: read(os.path.join("disk", name)) for name in os.listdir(path("disk")) if name.startswith("check")}
    limit = [sys.executable, "-c", "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, "
             "(300000, 300000)); os.execv(sys.argv[1], sys.argv[1:])", PROGRAM, *train("disk", "--resume")]
    done = subprocess.run(limit, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, text=True, cwd=work)
    lines = done.stderr.strip().split("\n")
    check(done.returncode == 1 and "cannot write" in lines[-1] and "checkpoint" in lines[-1], done)
    check(len(lines) == 1, done.stderr)
    check(not [name for name in os.listdir(path("disk")) if ".safetensors." in name], os.listdir(path("disk")))
    check(all(read(os.path.join("disk", name)) == data for name, data in old.items()), "the old one is harmed")
    succeed(*train("disk", "--resume"))
    check(weights_bytes("one/final.safetensors") == weights_bytes("disk/final.safetensors"), "others")


def a_log_on_a_full_disk_is_told_once():
    os.mkdir(path("full"))
    os.symlink("/dev/full", path("full", "log.csv"))
    done = run(*train("full", "--set", "data.validation=0"))
    check(done.returncode == 0 and done.stderr.count("cannot write") == 1 and "log.csv" in done.stderr, done)
    check(len(read("full/log.jsonl").split(b"\n")) == 13, read("full/log.jsonl"))


def train_refuses_what_cannot_be():
    fail(1, "--resume", *train("one"))
    fail(1, "optimizer.rate was '0.001' and is '0.5'", *train("one", "--resume", "--set", "optimizer.rate=0.5"))
    fail(1, "checkpoint", *train("empty", "--resume"))
    fail(1, "batch", *train("r", "--set", "train.batch=0"))
    fail(1, "no key", *train("r", "--set", "train.bach=3"))
    fail(1, "abacus", *train("r", "--device", "abacus"))
    fail(1, "nowhere.set", *train("r", "--data", "nowhere.set"))
    fail(1, "photo.png", *train("r", "--data", "photo.png"))
    fail(1, "nowhere.conf", *train("r", "--recipe", "nowhere.conf"))
    fail(1, "photo.png", *train("photo.png/r"))
    fail(1, "/proc/self/lock", *train("/proc/self"))  # a folder that can be read alone
    fail(1, "run.best", *train("r", "--set", "run.best=worst"))


def no_picture_held_back_is_no_error():
    done = run(*train("all", "--set", "data.validation=0", "--set", "train.images=4"))
    check(done.returncode == 0 and "done" in done.stdout, done.stdout)
    check("no picture of the set is held back" in done.stderr, done.stderr)


def training_from_weights_is_measured_against_them():
    succeed(*train("on", "--set", "network.start=" + path("one/final.safetensors"), "--set", "data.validation=0.5",
                   "--set", "train.images=4"))
    steps = [line.split(b",")[0] for line in read("on/validation.csv").split()]
    check(steps == [b"step", b"0", b"1"], steps)


def evaluate_keeps_to_what_was_held_back():
    out = succeed("evaluate", "--data", "a.set", "--weights", "one/final.safetensors", "--size", "32", "--held-back",
                  "0.5", "--encoder", "none")
    check(0 < int(out.split()[0]) < 10, out)
    fail(1, "--held-back", "evaluate", "--data", "pictures", "--held-back", "0.5")
    fail(2, "--held-back", "evaluate", "--data", "a.set", "--held-back", "0.7")


def prepare_overwrites_sets_alone():
    write("mine.txt", b"my notes")
    fail(1, "mine.txt|no set", "prepare", "--out", "mine.txt", "pictures")
    check(read("mine.txt") == b"my notes", "overwritten")


def validation_shows_pictures():
    out = succeed(*train("half", "--set", "data.validation=0.5", "--set", "train.images=4"))
    check("validation on" in out and "gain" in out, out)
    check(read("half/validation.csv").startswith(b"step,pictures,gain_db"), "validation.csv")
    check(png_size("half/sheet.png")[0] > 192, "sheet.png")


def evaluate_makes_table_json_and_sheet():
    out = succeed("evaluate", "--data", "a.set", "--weights", "one/final.safetensors", "--weights",
                  "half/final.safetensors", "--size", "64", "--limit", "6", "--json", "e.json", "--sheet",
                  "e.png")
    rows = json.loads(read("e.json"))["rows"]
    check([row["weights"] for row in rows] ==
          ["grey", "one/final.safetensors", "half/final.safetensors", "truth"], rows)
    check(all(row["weights"] in out for row in rows), out)
    first, last = rows[0], rows[-1]
    check(first["gain_over_grey_db"] == 0 and first["colourfulness"] == 0, first)
    check(last["psnr_db"] == 100 and last["ssim_rgb"] == 1 and last["delta_e_2000"] == 0, last)
    check(last["delta_cf_of_means"] == last["delta_cf_of_pictures"] == last["edge_error"] == 0, last)
    check(last["lpips_like_lite0"] == 0 and last["frechet_lite0"] < 0.01 < first["frechet_lite0"], first, last)
    described = [figure["key"] for figure in json.loads(read("e.json"))["figures"]]
    check(len(described) > 15 and all(key in row for row in rows for key in described), described)
    for row in rows[1:3]:
        check(5 < row["psnr_db"] < 60 and 0 < row["ssim_rgb"] < 1 and row["delta_e_2000"] > 0, row)
        check(row["colourfulness"] > first["colourfulness"], row)
    width, height, depth, _ = png_size("e.png")
    check(width > 6 * 64 and height > 4 * 64 and depth == 8, width, height, depth)
    check("1 pictures left out" in succeed("evaluate", "--data", "pictures", "--weights",
                                           "one/final.safetensors", "--size", "32"), "left out")
    out = succeed("evaluate", "--data", "a.set", "--weights", "one/final.safetensors", "--limit", "3",
                  "--size", "64", "--hints", "1,20", "--json", path("hints.json"))
    gains = json.loads(read("hints.json"))["rows"][1]["hint_gain_db"]
    check("gain over no hint" in out and list(gains) == ["1", "20"], out)
    check(gains["20"] > 1, "twenty hints gain", gains)


def evaluate_draws_frontier_strengths_and_hint_curve():
    out = succeed("evaluate", "--data", "a.set", "--weights", "one/final.safetensors", "--limit", "3",
                  "--size", "64", "--strengths", "0,1,2", "--frontier", "--hint-curve", "curve.png", "--json",
                  "f.json", "--encoder", "none")
    rows = json.loads(read("f.json"))["rows"]
    check([row.get("strength") for row in rows] == [None, 0, 1, 2, None], rows)
    check(rows[1]["psnr_db"] == rows[0]["psnr_db"] and rows[1]["colourfulness"] == 0, "strength 0 is grey", rows)
    check(rows[1]["colourfulness"] < rows[2]["colourfulness"] < rows[3]["colourfulness"], rows)
    check(rows[1]["out_of_gamut_percent"] == 0 <= rows[2]["out_of_gamut_percent"], rows)
    check(all(row["frechet_lite0"] is None for row in rows), "without an eye")
    line = rows[1]["frontier"]["line"]
    check(len(line) == 17 and line[0]["strength"] < line[-1]["strength"] == 2, line)
    check(abs(line[-1]["gain_over_grey_db"] - rows[3]["gain_over_grey_db"]) < 1e-5, line[-1], rows[3])
    check(abs(line[-1]["colourfulness_percent"] - rows[3]["colourfulness_percent"]) < 1e-4, line[-1], rows[3])
    check(list(rows[1]["hint_gain_db"]) == ["1", "2", "5", "10", "20", "50", "100"], rows[1])
    check("hint_gain_db" not in rows[2] and "SIGGRAPH17" in out, "hints once for each file")
    check(png_size("curve.png")[:2] == (800, 500), png_size("curve.png"))
    about = succeed("evaluate", "--help")
    for word in ("Sharma", "Hasler", "DDColor", "not FID", "not LPIPS", "dCF-pictures", "edge error", "stray"):
        check(word in about, word, "is not in the help")


def evaluate_refuses_what_it_cannot_read():
    fail(1, "nowhere", "evaluate", "--data", "a.set", "--weights", "one/final.safetensors", "--encoder", "nowhere")
    fail(1, "stem.weight", "evaluate", "--data", "a.set", "--weights", "one/final.safetensors", "--encoder",
         "one/final.safetensors")
    fail(1, "nowhere", "evaluate", "--data", "nowhere", "--weights", "one/final.safetensors")
    fail(1, "nowhere", "evaluate", "--data", "a.set", "--weights", "nowhere")
    fail(1, "nowhere", "evaluate", "--data", "a.set", "--weights", "one/final.safetensors", "--size", "32",
         "--limit", "1", "--json", "nowhere/e.json")


def inspect_tells_what_a_file_holds():
    out = succeed("inspect", "one/final.safetensors")
    check("smoke" in out and "images_seen" in out and "can use these weights" in out, out)
    check("F16" in succeed("inspect", "--tensors", "one/final.safetensors"), "tensors")
    check("not weights for the plug-in" in succeed("inspect", "another.safetensors"), "another")
    check("reference" in succeed("inspect", "--devices"), "devices")
    fail(1, "nowhere", "inspect", "nowhere")
    fail(1, "photo.png", "inspect", "photo.png")


def apply_arguments(*more):
    return ["apply", "--weights", "one/final.safetensors", "--threads", "1", "--device", "cpu", *more]


def apply_keeps_size_and_depth():
    out = succeed(*apply_arguments("-v", "-o", "out.png", "photo.png"))
    check(re.search("out.png: 70x50, read .* s, network .* s, colour .* s, write .* s\n", out), out)
    check("peak memory" in out, out)
    check(png_size("out.png") == (70, 50, 8, 2), png_size("out.png"))
    write("wide.png", png(33, 20, lambda u, v: (int(65535 * u), int(65535 * v)), 2, 16))
    succeed(*apply_arguments("-o", "wide-out.png", "wide.png"))
    check(png_size("wide-out.png") == (33, 20, 16, 6), png_size("wide-out.png"))
    write("dot.png", png(1, 1, grey))
    succeed(*apply_arguments("-o", "dot-out.png", "dot.png"))
    check(png_size("dot-out.png") == (1, 1, 8, 2), png_size("dot-out.png"))
    for ending in ("jpg", "tif", "webp"):
        succeed(*apply_arguments("-o", "out." + ending, "photo.png"))
        succeed(*apply_arguments("-o", "again.png", "out." + ending))
        check(png_size("again.png")[:2] == (70, 50), ending)
    check(read("out.png") != read("photo.png"), "nothing happened")
    succeed(*apply_arguments("-o", "out2.png", "photo.png"))
    check(read("out.png") == read("out2.png"), "a second time gave another picture")


def apply_computes_in_the_precision_asked_for():
    for precision in ("f32", "bf16", "f16"):
        succeed(*apply_arguments("--precision", precision, "-o", precision + ".png", "photo.png"))
    check(read("f32.png") == read("out.png"), "f32 is not the default")
    check(read("bf16.png") != read("f32.png"), "bf16 is f32")
    check(read("f16.png") == read("f32.png"), "f16 is for GPUs; on the CPU it is f32")


def png_pixels(name):
    """Rows of a PNG without filters beyond what libvips and we write."""
    data, at, packed = read(name), 8, b""
    width, height, depth, kind = png_size(name)
    while at < len(data):
        size = struct.unpack(">I", data[at:at + 4])[0]
        if data[at + 4:at + 8] == b"IDAT":
            packed += data[at + 8:at + 8 + size]
        at += 12 + size
    step = {0: 1, 2: 3, 4: 2, 6: 4}[kind] * depth // 8
    raw, rows, last = zlib.decompress(packed), [], bytes(width * step)
    for y in range(height):
        line = bytearray(raw[y * (width * step + 1):(y + 1) * (width * step + 1)])
        rule, line = line[0], line[1:]
        for i in range(len(line)):
            left = line[i - step] if i >= step else 0
            corner = last[i - step] if i >= step else 0
            up = last[i]
            guess = left + up - corner
            paeth = min((abs(guess - left), 0, left), (abs(guess - up), 1, up),
                        (abs(guess - corner), 2, corner))[2]
            line[i] = (line[i] + (0, left, up, (left + up) // 2, paeth)[rule]) & 255
        rows.append(line)
        last = line
    return [[tuple(row[x * step:x * step + 3]) for x in range(width)] for row in rows]


def apply_follows_hints():
    """Red dabs, also small ones, make their places red, and nothing else is asked for."""
    def red(u, v):
        return (200, 40, 30, 255) if 0.45 < u < 0.6 and 0.45 < v < 0.6 else (0, 255, 0, 0)

    write("hints.png", png(70, 50, red, channels=4))
    write("empty.png", png(70, 50, lambda u, v: (255, 0, 0, 0), channels=4))
    write("opaque.png", png(70, 50, grey))
    write("wrong.png", png(71, 50, red, channels=4))
    succeed(*apply_arguments("-o", "plain.png", "photo.png"))
    succeed(*apply_arguments("--hints", "hints.png", "-o", "hinted.png", "photo.png"))
    succeed(*apply_arguments("--hints", "empty.png", "-o", "same.png", "photo.png"))
    check(png_pixels("plain.png") == png_pixels("same.png"), "no hint, no change")
    pixel = png_pixels("hinted.png")[26][36]
    before = png_pixels("plain.png")[26][36]
    check(pixel[0] - pixel[2] > before[0] - before[2] + 40, "red where the dab is", before, pixel)
    fail(1, "transparency", *apply_arguments("--hints", "opaque.png", "-o", "no.png", "photo.png"))
    fail(1, "70x50|71x50", *apply_arguments("--hints", "wrong.png", "-o", "no.png", "photo.png"))
    fail(1, "nowhere.png", *apply_arguments("--hints", "nowhere.png", "-o", "no.png", "photo.png"))
    fail(1, "text.jpg", *apply_arguments("--hints", "pictures/text.jpg", "-o", "no.png", "photo.png"))


def hints_are_learned_beside_the_network():
    """The same command twice gives the same file, also on top of one that has learned; the network stays."""
    def learn(source, out, *more):
        return ["hints", "--data", "a.set", "--weights", source, "--out", out, "--validation", "0.5",
                "--pictures", "3", "--steps", "4", "--width", "8", "--threads", "1", "--device", "cpu", *more]

    succeed(*learn("one/final.safetensors", "learned.safetensors"))
    succeed(*learn("learned.safetensors", "learned.safetensors"))
    succeed(*learn("one/final.safetensors", "again.safetensors"))
    check(read("learned.safetensors") == read("again.safetensors"), "the same file")
    old, new = (succeed("inspect", "--tensors", name) for name in ("one/final.safetensors", "again.safetensors"))
    check("hint.head.weight" in new and "colorize.hints" in new and "hint." not in old, new)
    kept = [line for line in new.split("\n") if "hint" not in line and "tensors," not in line]
    check(kept == [line for line in old.split("\n") if "tensors," not in line], "the rest is kept")
    write("dabs.png", png(70, 50, lambda u, v: (200, 40, 30, 255 if u < 0.2 > v else 0), channels=4))
    pixels = []
    for name in ("one/final.safetensors", "again.safetensors"):
        for hints in ([], ["--hints", "dabs.png"]):
            result = "learned-%d.png" % len(pixels)
            succeed("apply", "--weights", name, *hints, "-o", result, "photo.png")
            pixels.append(png_pixels(result))
    check(pixels[0] == pixels[2], "without hints nothing changes")
    check(pixels[1] != pixels[3], "with hints something does")
    fail(1, "nowhere", *learn("nowhere", "no.safetensors"))
    fail(1, "nowhere", *learn("one/final.safetensors", "nowhere/no.safetensors"))


def tensors_of(name):
    """{name: list of floats} of a safetensors file in F16 or F32."""
    raw = read(name)
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    header.pop("__metadata__", None)
    codes = {"F16": "e", "F32": "f"}
    values = {}
    for key, tensor in header.items():
        first, last = tensor["data_offsets"]
        code = codes[tensor["dtype"]]
        data = raw[8 + size + first:8 + size + last]
        values[key] = struct.unpack("<%d%s" % (len(data) // struct.calcsize(code), code), data)
    return values


def with_metadata(source, name, **values):
    """The same tensors, with other metadata."""
    raw = read(source)
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    header["__metadata__"].update({"colorize." + key: value for key, value in values.items()})
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    write(name, struct.pack("<Q", len(text)) + text + raw[8 + size:])


def average_is_the_mean_of_each_number():
    first, second = tensors_of("one/final.safetensors"), tensors_of("half/final.safetensors")
    succeed("average", "--weights", "one/final.safetensors", "--weights", "half/final.safetensors", "--strength", "1.5",
            "--title", "a mean", "--out", "mean.safetensors")
    mean = tensors_of("mean.safetensors")
    check(sorted(mean) == sorted(first), "the same tensors")
    worst = 0
    for name, values in mean.items():
        factor = 1.5 if name.startswith("head.") else 1
        for value, a, b in zip(values, first[name], second[name]):
            expected = factor * (a + b) / 2
            worst = max(worst, abs(value - expected) / (abs(expected) / 1024 + 1e-6))
    check(worst <= 1, "each number is rounded once", worst)
    check(first != second, "the two differ")
    said = succeed("inspect", "mean.safetensors")
    check("a mean" in said and "color times 1.5" in said, said)
    succeed("apply", "--weights", "mean.safetensors", "-o", "mean.png", "photo.png")
    succeed("average", "--weights", "learned.safetensors", "--out", "bare.safetensors")
    check(not any(name.startswith("hint.") for name in tensors_of("bare.safetensors")), "hints are left out")


def average_refuses_what_does_not_fit():
    fail(2, "--weights", "average", "--out", "no.safetensors")
    fail(2, "--strength", "average", "--weights", "one/final.safetensors", "--out", "no.safetensors", "--strength", "9")
    fail(1, "nowhere", "average", "--weights", "nowhere", "--out", "no.safetensors")
    fail(1, "expected", "average", "--weights", "one/final.safetensors", "--weights",
         os.path.join(ROOT, "weights", "photo.safetensors"), "--out", "no.safetensors")
    with_metadata("half/final.safetensors", "other.safetensors", licence="mine", norm="batch")
    fail(1, "colorize.norm", "average", "--weights", "one/final.safetensors", "--weights", "other.safetensors", "--out",
         "no.safetensors")
    check(not os.path.exists(path("no.safetensors")), "nothing is written")


def average_tells_the_licence_of_each_file():
    with_metadata("one/final.safetensors", "a.safetensors", licence="yours")
    with_metadata("half/final.safetensors", "b.safetensors", licence="mine")
    succeed("average", "--weights", "a.safetensors", "--weights", "b.safetensors", "--weights", "a.safetensors", "--out",
            "c.safetensors")
    check("yours; mine" in succeed("inspect", "c.safetensors"), "licences")


def apply_keeps_stems_in_a_folder_and_goes_on():
    os.mkdir(path("folder"))
    write("b.c.png", png(20, 30, grey))
    done = run(*apply_arguments("-o", "folder", "photo.png", "nowhere.png", "b.c.png", "pictures/text.jpg"))
    check(done.returncode == 1, done.returncode)
    check(len(done.stderr.strip().split("\n")) == 2 and "nowhere.png" in done.stderr, done.stderr)
    check(sorted(os.listdir(path("folder"))) == ["b.c.png", "photo.png"], os.listdir(path("folder")))
    check(png_size("folder/b.c.png")[:2] == (20, 30), "b.c.png")
    succeed(*apply_arguments("-o", "made/", "photo.png"))
    check(os.listdir(path("made")) == ["photo.png"], os.listdir(path("made")))


def apply_overwrites_no_photograph_and_no_result():
    before = read("photo.png")
    os.symlink(path("photo.png"), path("link.png"))
    for target in ("photo.png", "./photo.png", "link.png", "."):
        fail(1, "overwrite", *apply_arguments("-o", target, "photo.png"))
    done = run(*apply_arguments("-o", ".", "pictures/0.png", "photo.png"))
    check(done.returncode == 1 and "overwrite" in done.stderr, done.stderr)
    check(read("photo.png") == before, "the photograph is lost")
    os.makedirs(path("twins"))
    write("twin/photo.png", png(10, 11, grey))
    fail(1, "overwrite", *apply_arguments("-o", "twins", "photo.png", "twin/photo.png"))
    check(png_size("twins/photo.png")[:2] == (70, 50), "the second took the place of the first")


def apply_refuses_bad_photographs():
    data = read("out.jpg")
    write("cut.jpg", data[:len(data) * 2 // 3])
    write("cut.png", read("pictures/9.png")[:300])
    write("text.jpg", b"this is no photograph\n")
    write("empty.png", b"")
    for name in ("cut.jpg", "cut.png", "text.jpg", "empty.png", "nowhere.png", "pictures"):
        fail(1, name, *apply_arguments("-o", "no.png", name))
    check(not os.path.exists(path("no.png")), "half a picture was written")


def apply_refuses_bad_weights():
    good = read("one/final.safetensors")
    write("cut.safetensors", good[:len(good) // 2])
    write("stub.safetensors", good[:5])
    write("another.safetensors", safetensors(
        {"conv.weight": {"dtype": "F32", "shape": [1, 1, 1, 1], "data_offsets": [0, 4]}}, b"\0" * 4))
    write("lying.safetensors", safetensors(
        {"conv.weight": {"dtype": "F32", "shape": [9, 9, 9, 9], "data_offsets": [0, 4]}}, b"\0" * 4))
    write("beyond.safetensors", safetensors(
        {"conv.weight": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}, b"\0" * 4))
    write("huge.safetensors", struct.pack("<Q", 2**63) + b"{}")
    for name in ("cut", "stub", "another", "lying", "beyond", "huge", "nowhere"):
        fail(1, name + ".safetensors", "apply", "--weights", name + ".safetensors", "-o", "no.png",
             "photo.png")
    fail(1, "photo.png", "apply", "--weights", "photo.png", "-o", "no.png", "photo.png")
    fail(1, "pictures", "apply", "--weights", "pictures", "-o", "no.png", "photo.png")


def apply_refuses_bad_settings():
    for value in ("3", "-0.1", "nan", "inf", "much", "", "1,5"):
        fail(2, "strength", *apply_arguments("--strength", value, "-o", "no.png", "photo.png"))
    for option, value in (("--warmth", "2"), ("--reach", "x"), ("--tile", "1.5"), ("--precision", "f64"),
                          ("--threads", "-1")):
        fail(2, option[2:], *apply_arguments(option, value, "-o", "no.png", "photo.png"))
    for device in ("abacus", "cuda:99", "cpu2", ""):
        if device:
            fail(1, device, *apply_arguments("--device", device, "-o", "no.png", "photo.png"))
    fail(2, "-o", *apply_arguments("photo.png"))
    fail(2, "photograph", *apply_arguments("-o", "no.png"))
    fail(2, ".png", *apply_arguments("-o", "no.gif", "photo.png"))
    check(not os.path.exists(path("no.png")), "something was written")


def apply_refuses_unwritable_places():
    for target in ("nowhere/no.png", "photo.png/no.png", "/proc/no.png"):
        fail(1, os.path.dirname(target), *apply_arguments("-o", target, "photo.png"))
    fail(1, "photo.png", *apply_arguments("-o", "photo.png/", "photo.png"))
    os.mkdir(path("a.png"))
    os.mkdir(path("a.png", "photo.png"))
    fail(1, "a.png", *apply_arguments("-o", "a.png", "photo.png"))


CLAIMS = [help_is_given_everywhere, wrong_usage_is_exit_2, prepare_takes_colour_and_counts_the_rest,
          train_leaves_all_its_files, same_training_gives_the_same_bytes,
          stopped_and_resumed_is_the_uninterrupted_run, killed_and_resumed_is_the_uninterrupted_run,
          stop_after_pauses_and_keeps_the_schedule, a_runs_own_recipe_resumes_it, damaged_checkpoints_are_told,
          full_disk_keeps_the_old_checkpoints, a_log_on_a_full_disk_is_told_once, train_refuses_what_cannot_be,
          no_picture_held_back_is_no_error, training_from_weights_is_measured_against_them,
          evaluate_keeps_to_what_was_held_back, prepare_overwrites_sets_alone, validation_shows_pictures, apply_keeps_size_and_depth,
          apply_computes_in_the_precision_asked_for,
          apply_keeps_stems_in_a_folder_and_goes_on, apply_overwrites_no_photograph_and_no_result,
          apply_refuses_bad_photographs, apply_refuses_bad_weights, apply_refuses_bad_settings,
          apply_refuses_unwritable_places, apply_follows_hints, evaluate_makes_table_json_and_sheet,
          evaluate_draws_frontier_strengths_and_hint_curve, evaluate_refuses_what_it_cannot_read,
          hints_are_learned_beside_the_network, average_is_the_mean_of_each_number, average_refuses_what_does_not_fit,
          average_tells_the_licence_of_each_file,
          inspect_tells_what_a_file_holds]


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(suite, claims):
    chosen = [claim for claim in claims if not sys.argv[1:] or claim.__name__ in sys.argv[1:]]
    failed, before = 0, cpu_seconds()
    make_pictures()
    print("1..%d" % len(chosen))
    for number, claim in enumerate(chosen, 1):
        try:
            claim()
            result = "ok"
        except Exception:
            result = "not ok"
            failed += 1
            print("\n".join("# " + line for line in traceback.format_exc().split("\n")))
        spent, before = cpu_seconds() - before, cpu_seconds()
        print("%s %d /training/%s/%s" % (result, number, suite, claim.__name__))
        print("# %.1f s of CPU" % spent, flush=True)
    shutil.rmtree(work)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main("cli", CLAIMS))
