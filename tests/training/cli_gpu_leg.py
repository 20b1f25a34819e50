#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
# Trainings with a time limit, and training/gpu-leg: a folder that trains by itself elsewhere. TAP.
#   cli_gpu_leg.py        on the CPU
#   cli_gpu_leg.py gpu    on a GPU: the doubles' environment
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import cli
from cli import ROOT, SMOKE, check, fail, path, read, succeed, train, write

LEG = os.path.join(ROOT, "training", "gpu-leg")
BUILD = os.environ["COLORIZE_BUILD_ROOT"]
# More than any time limit here allows; a line a step; nothing to look at.
LONG = ["--set", "train.images=4000000", "--set", "run.log-every=1", "--set", "data.validation=0", "--set",
        "run.checkpoint-minutes=100"]
SECONDS = 6


def pack(out, *more):
    return subprocess.run([LEG, "--out", out, "--data", "a.set", "--recipe", SMOKE, "--build", BUILD, *LONG, *more],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=cli.TIMEOUT, text=True, cwd=cli.work)


def refuse(words, *more):
    """gpu-leg ends with one sentence and leaves nothing behind."""
    done = pack("no", *more)
    check(done.returncode == 1 and done.stderr.startswith("gpu-leg: ") and done.stderr.count("\n") == 1, done)
    for word in words.split("|"):
        check(word in done.stderr, "no '%s' in" % word, done.stderr)
    check(not os.path.exists(path("no")), "something was left")


def leg(*arguments, **environment):
    """The packed folder, moved elsewhere, in an environment that knows nothing of this build."""
    os.makedirs(path("else where"), exist_ok=True)
    return subprocess.Popen(["env", "-i", "PATH=/usr/bin:/bin", *("%s=%s" % pair for pair in environment.items()),
                             path("moved leg", "run"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, cwd=path("else where"))


def finish(process):
    out, err = process.communicate(timeout=cli.TIMEOUT)
    return process.returncode, out, err


def run_leg(*arguments, **environment):
    return finish(leg(*arguments, **environment))


def steps():
    lines = read("else where/out/log.csv").decode().strip().split("\n")
    return [int(line.split(",")[lines[0].split(",").index("step")]) for line in lines[1:]]


# ---- what is claimed ----------------------------------------------------------------------------


def a_time_limit_stops_and_saves():
    succeed("prepare", "--out", "a.set", "pictures")
    began = time.monotonic()
    out = succeed(*train("timed", *LONG, "--minutes", "0.05"))
    took = time.monotonic() - began
    check("stopped and saved" in out and os.path.exists(path("timed", "ema.safetensors")), out)
    check(1 < took < 4.5, "took", took)
    again = succeed(*train("timed", *LONG, "--minutes", "0.03", "--resume"))
    check("step 1 " not in again and "stopped and saved" in again, again)
    for bad in ("-1", "nan", "1e9"):
        fail(2, "--minutes", *train("r", "--minutes", bad))


def a_folder_is_packed_and_names_no_place_of_this_machine():
    done = pack("leg")
    check(done.returncode == 0 and "glibc 2." in done.stdout, done)
    os.rename(path("leg"), path("moved leg"))
    names = {str(p.relative_to(path("moved leg"))) for p in pathlib.Path(path("moved leg")).rglob("*")}
    for name in ("run", "bin/colorizer", "modules/libcolorize-onednn.so", "data.set", "recipe.conf", "lib/libvips.so.42",
                 "lib/libgomp.so.1", "weights/photo.safetensors"):
        check(name in names, "no", name, names)
    check(not [name for name in names if re.search(r"lib(c|m|dl|pthread)\.so|ld-linux|libcuda", name)], names)
    for name in names:
        file = pathlib.Path(path("moved leg", name))
        if file.is_file() and not name.startswith("lib/"):
            data = file.read_bytes()
            for place in (ROOT, BUILD, cli.work):
                check(place.encode() not in data, name, "names", place)


def it_trains_elsewhere_until_its_time_is_over():
    began = time.monotonic()
    code, out, err = run_leg("0.1", "out", "--device", "cpu", "--threads", "1")
    took = time.monotonic() - began
    check(code == 0, code, out, err)
    check(took < SECONDS + 1.5, "took", took)
    for name in ("ema.safetensors", "checkpoint-0.safetensors", "log.csv", "events.out.tfevents.colorizer"):
        check(os.path.exists(path("else where", "out", name)), "no", name)
    last = re.search(r"step (\d+), (\d+) pictures seen, ([\d.]+) pictures/s on cpu", err)
    check(last and int(last[1]) == steps()[-1] and int(last[2]) == 4 * int(last[1]), err)
    check(float(last[3]) > 0 and not os.path.exists(path("else where", "out", "selftest.txt")), err)


def it_goes_on_where_it_stopped():
    before = steps()
    code, out, err = run_leg("0.08", "out", "--device", "cpu", "--threads", "1", "--loaders", "2")
    check(code == 0, out, err)
    after = steps()
    check(len(after) > len(before) + 2 and after == list(range(1, len(after) + 1)), before, after)


def a_signal_lets_it_save():
    before = steps()
    process = leg("5", "out", "--device", "cpu", "--threads", "1", "--no-selftest")
    for line in process.stdout:
        if line.startswith("step %d " % (before[-1] + 2)):
            process.send_signal(signal.SIGTERM)
            break
    code, out, err = finish(process)
    check(code == 0 and "stopped and saved" in out and "pictures seen" in err, code, out, err)
    check(before[-1] + 2 <= steps()[-1] < before[-1] + 100, before[-1], steps()[-1])


def its_report_comes_first_when_asked_for():
    code, out, err = run_leg("1.5", "tested", "--device", "abacus", "--selftest")
    check(code == 1 and "FAILED" in err and "abacus" in err, code, out, err)


def what_the_machine_lacks_is_a_sentence():
    nothing = {"COLORIZE_CUDA_DRIVER": "/nowhere/libcuda.so.1", "COLORIZE_CUDA_ONLY": "1"}
    code, out, err = run_leg("1", "out", **nothing)
    check(code == 1 and "no NVIDIA GPU can be used here" in err and "cuDNN" in err, code, out, err)
    code, out, err = run_leg("1", "out", "--device", "cpu", LEG_FREE_MIB="99999999")
    check(code == 1 and "MiB free" in err, code, err)
    code, out, err = run_leg("1", "/proc/out", "--device", "cpu")
    check(code == 1 and "cannot write into /proc/out" in err, code, err)
    for bad in ("x", "0", "1.2.3", "-1", ".5", "1e3"):
        code, out, err = run_leg(bad, "out", "--device", "cpu")
        check(code == 2 and "usage: " in err, bad, code, err)
    check(run_leg("1")[0] == 2 and run_leg("1", "out", "--bad")[0] == 2 and run_leg("1", "out", "--device")[0] == 2, "usage")
    shutil.copytree(path("moved leg"), path("old"))
    text = read("old/run").decode()
    write("old/run", re.sub(r"(?m)^glibc=.*$", "glibc=2.999", text).encode())
    done = subprocess.run([path("old", "run"), "1", "out"], stderr=subprocess.PIPE, text=True, cwd=cli.work)
    check(done.returncode == 1 and "needs 2.999 or newer" in done.stderr, done)


def a_run_and_the_weights_it_needs_are_packed():
    encoder = os.path.join(ROOT, "training", "pretrained", "efficientnet-lite0-imagenet.safetensors")
    shutil.rmtree(path("moved leg"))
    keys = ["--set", "network.encoder=" + encoder]
    succeed(*train("home", *LONG, *keys, "--stop-after", "3"))
    done = pack("moved leg", *keys, "--resume", "home")
    check(done.returncode == 0, done)
    name = "files/encoder/" + os.path.basename(encoder)
    check("deterministic=0" in read("moved leg/recipe.conf").decode(), "it would stay on its GPU")
    check(("encoder=" + name) in read("moved leg/recipe.conf").decode(), read("moved leg/recipe.conf"))
    check(os.path.exists(path("moved leg", name)), "no encoder")
    code, out, err = run_leg("0.08", "more", "--device", "cpu", "--threads", "1")
    check(code == 0 and "step 4 " in out and "step 3 " not in out, code, out, err)
    # And home again.
    succeed("train", "--data", "a.set", "--recipe", SMOKE, "--run", path("else where", "more"), "--device", "cpu", *LONG,
            *keys, "--resume", "--stop-after", "4")


def what_cannot_be_packed_is_a_sentence():
    refuse("nowhere.set", "--data", "nowhere.set")
    refuse("photo.png", "--data", "photo.png")
    refuse("nowhere.conf", "--recipe", "nowhere.conf")
    refuse("network.start|nowhere.safetensors", "--set", "network.start=nowhere.safetensors")
    refuse("train.bach", "--set", "train.bach=3")
    refuse("SECTION.KEY=VALUE", "--set", "bach")
    refuse("checkpoint", "--resume", "pictures")
    refuse("ninja -C", "--build", "pictures")
    done = pack("pictures")
    check(done.returncode == 1 and "is there already" in done.stderr and os.path.exists(path("pictures")), done)
    help_text = subprocess.run([LEG, "--help"], stdout=subprocess.PIPE, text=True).stdout
    for word in ("MINUTES", "--resume", "COLORIZE_CUDA_ROOT", "COLORIZE_CUDA_DRIVER", "COLORIZE_CUDA_ONLY", "LEG_FREE_MIB"):
        check(word in help_text, word)


# What the packed folder has to find on the machine where it runs: here the doubles, and how they are set up.
GPU = {key: value for key, value in os.environ.items() if key.startswith(("COLORIZE_CUDA_", "COLORIZE_DOUBLE_"))}


def two_legs_on_a_gpu_are_one_training():
    a_folder_is_packed_and_names_no_place_of_this_machine()
    for minutes in ("0.3", "0.25"):
        before = steps() if os.path.exists(path("else where", "out")) else []
        began = time.monotonic()
        code, out, err = run_leg(minutes, "out", "--device", "cuda", "--no-selftest", HOME=cli.work, **GPU)
        check(code == 0 and "NVIDIA Double" in out, code, out, err)
        check(time.monotonic() - began < 60 * float(minutes) + 3, "took", time.monotonic() - began)
        check(re.search(r"pictures/s on cuda", err), err)
        after = steps()
        check(len(after) > len(before) and after == list(range(1, len(after) + 1)), before, after)


def without_a_gpu_a_leg_says_so():
    code, out, err = run_leg("0.2", "none", "--device", "cuda", "--no-selftest", HOME=cli.work)
    check(code == 1 and "no NVIDIA driver" in err, code, out, err)


def make_set():
    succeed("prepare", "--out", "a.set", "pictures")


GPU_CLAIMS = [make_set, two_legs_on_a_gpu_are_one_training, without_a_gpu_a_leg_says_so]
CLAIMS = [a_time_limit_stops_and_saves, a_folder_is_packed_and_names_no_place_of_this_machine,
          it_trains_elsewhere_until_its_time_is_over, it_goes_on_where_it_stopped, a_signal_lets_it_save,
          its_report_comes_first_when_asked_for, what_the_machine_lacks_is_a_sentence,
          a_run_and_the_weights_it_needs_are_packed, what_cannot_be_packed_is_a_sentence]

if __name__ == "__main__":
    gpu = "gpu" in sys.argv[1:]
    sys.argv = [name for name in sys.argv if name != "gpu"]
    sys.exit(cli.main("cli-gpu-leg", GPU_CLAIMS if gpu else CLAIMS))
