#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""All that only a real GPU can tell, as TAP:  hardware.py COLORIZER PARITY BENCH_GPU PYTORCH_PY [small]

The self-test, every op by the parity test, speed in every precision, losses against the CPU's, and PyTorch beside it where
COLORIZE_PYTHON (or .venv) has one that finds the GPU. A target that is missed is a failed row with its figures. Skipped
where no CUDA device opens. Reports go to BUILD/gpu-report.

small: sizes for the doubles (tests/gpu), where times mean nothing and are not judged.
"""
import json
import os
import subprocess
import sys

COLORIZER, PARITY, BENCH, PYTORCH = sys.argv[1:5]
SMALL = sys.argv[5:] == ["small"]
ROOT, BUILD = os.environ["COLORIZE_SOURCE_ROOT"], os.environ["COLORIZE_BUILD_ROOT"]
WEIGHTS = os.path.join(ROOT, "weights", "photo.safetensors")
OUT = os.path.join(BUILD, "gpu-report-small" if SMALL else "gpu-report")
TIMEOUT = 60 if SMALL else 1200

# The targets. Colors: nobody sees 0.5 of a*b*, and F32 differs by the order of sums alone.
MOST_DAB = {"F32": 0.01, "F16": 0.5}
MOST_INFER_MS = 3.0
LEAST_OF_EAGER = 1.3
LEAST_OF_BEST = 1.0
# Losses over the largest of them: of the first ten steps as in the self-test; after that roundings grow with every step.
FIRST_STEPS, FIRST_APART, ALL_APART = 10, 1e-4, 0.02
INFER = ["--size", "32", "--runs", "2"] if SMALL else []
TRAIN = ["--crop", "16", "--batch", "2"] if SMALL else []
STEPS = 2 if SMALL else 50

n_rows = n_failed = 0


def tell(text):
    for line in str(text).rstrip().splitlines():
        print("#", line, flush=True)


def row(good, name, *figures, skip=None):
    global n_rows, n_failed
    n_rows += 1
    n_failed += not good
    print(f"{'ok' if good else 'not ok'} {n_rows} - {name}{f' # SKIP {skip}' if skip else ''}", flush=True)
    for line in figures:
        tell(line)


def run(*command, **environment):
    """(exit status, all that was printed); a program that hangs has failed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT,
                              env={**os.environ, "COLORIZE_WEIGHTS": WEIGHTS, **environment})
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as expired:
        return -1, f"no end after {expired.timeout} s"


def keep(name, text):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as file:
        file.write(text)


def last_json(text):
    try:
        return json.loads(text.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return None


# ---- is it right ---------------------------------------------------------------------------------


def self_test():
    if SMALL:
        return row(True, "self-test", skip="its own test has it")
    report = os.path.join(OUT, "selftest.txt")
    status, said = run(COLORIZER, "selftest", "--device", "cuda", "--report", report)
    bad = [line for line in said.splitlines() if "FAILED" in line]
    row(status == 0, "self-test", *(bad or [said if status else f"all rows within their bounds; {report}"]))


def parity():
    """All ops of the one module that drives the GPU, and no other."""
    folders = [f for f in os.environ.get("COLORIZE_MODULE_DIR", "").split(":") if f.rstrip("/").endswith("cudnn")]
    if not folders:
        return row(True, "parity", skip="COLORIZE_MODULE_DIR has no folder that ends in cudnn")
    part = ["-p", "/backend/parity/its_gradients_agree_with_the_reference"] if SMALL else []
    status, said = run(PARITY, *part, COLORIZE_MODULE_DIR=":".join(folders))
    keep("parity.txt", said)
    # It is skipped, and no failure, where no device opens.
    good = status == 0 and "SKIP" not in said and "not ok" not in said
    row(good, "parity of every op with the reference", *([] if good else said.splitlines()[-20:]))


def losses():
    found = {}
    for device in ("cuda", "cpu"):
        status, said = run(BENCH, "losses", "--device", device, "--steps", str(STEPS), *TRAIN)
        found[device] = last_json(said)
        if status or not found[device]:
            return row(False, f"losses on {device}", said)
    size = max(map(abs, found["cpu"]))
    apart = [abs(a - b) / size for a, b in zip(found["cuda"], found["cpu"])]
    good = len(apart) == STEPS and max(apart[:FIRST_STEPS]) <= FIRST_APART and max(apart) <= ALL_APART
    keep("losses.json", json.dumps(found))
    row(good, f"losses of {STEPS} steps are the CPU's",
        f"apart, of the largest loss: {max(apart[:FIRST_STEPS]):.3g} in the first {FIRST_STEPS} (bound {FIRST_APART}), "
        f"{max(apart):.3g} in all (bound {ALL_APART})",
        f"losses from {found['cuda'][0]:.6f} to {found['cuda'][-1]:.6f}")


# ---- is it fast ----------------------------------------------------------------------------------


def table():
    """The rows of bench_gpu that ran, by (what, precision)."""
    status, said = run(BENCH, "table", *INFER, *TRAIN)
    rows = last_json(said)
    keep("bench.txt", said)
    row(status == 0 and bool(rows), "bench", *said.splitlines()[:None if status else -1])
    return {(r["what"], r["precision"]): r for r in rows or [] if "error" not in r}


def judge_table(rows):
    for precision, bound in MOST_DAB.items():
        found = rows.get(("infer", precision))
        if not found:
            row(precision != "F32", f"colors in {precision}", skip="not on this device" if precision != "F32" else None)
            continue
        row(found["max_dab"] <= bound, f"colors in {precision} are the CPU's in F32",
            f"max |dab| {found['max_dab']:.3g}, bound {bound}")
    # In the fastest of the precisions whose colors nobody can tell from F32's.
    sound = [r for (what, p), r in rows.items() if what == "infer" and r["max_dab"] <= max(MOST_DAB.values())]
    if SMALL or not sound:
        return row(bool(sound), "inference in time", skip="times of a double" if SMALL else None)
    best = min(sound, key=lambda r: r["both_ways_ms"])
    row(best["both_ways_ms"] < MOST_INFER_MS, f"inference of {best['size']}x{best['size']} in time",
        f"{best['both_ways_ms']:.3f} ms in {best['precision']} with transfers, {best['alone_ms']:.3f} ms without; target "
        f"{MOST_INFER_MS} ms")


def python_with_torch():
    """(python, None), or (None, why not)."""
    why = "no Python with torch, numpy and safetensors (COLORIZE_PYTHON)"
    for python in (os.environ.get("COLORIZE_PYTHON"), os.path.join(ROOT, ".venv", "bin", "python"), "/usr/bin/python3"):
        if python and os.access(python, os.X_OK):
            status, said = run(python, "-c", "import torch, numpy, safetensors; print(torch.cuda.is_available())")
            if status == 0 and said.split()[-1:] == ["True"]:
                return python, None
            if status == 0:
                why = f"{python}: its torch finds no CUDA device"
    return None, why


def judge_pytorch(rows):
    """Of rows as pytorch.py writes them."""
    for r in rows:
        if r["kind"] == "infer" and r["variant"] == "eager":
            row(r["ratio"] >= LEAST_OF_EAGER, f"{r['name']}: at least {LEAST_OF_EAGER} times as fast as PyTorch",
                f"{r['ratio']:.2f} times, medians {median(r['ours_ms']):.3f} and {median(r['pytorch_ms']):.3f} ms")
    steps = [r for r in rows if r["kind"] == "train"]
    if not steps:
        return row(False, "training as fast as PyTorch", "no row of a training step")
    ours = min(steps, key=lambda r: median(r["ours_ms"]))
    theirs = min(steps, key=lambda r: median(r["pytorch_ms"]))
    pace = [1000 * r["batch"] / median(r[side]) for r, side in ((ours, "ours_ms"), (theirs, "pytorch_ms"))]
    row(pace[0] >= LEAST_OF_BEST * pace[1], "training as fast as PyTorch's best",
        f"{pace[0]:.0f} pictures/s in {ours['precision']}; PyTorch's best {pace[1]:.0f} ({theirs['name']})")


def median(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def pytorch():
    python, why = python_with_torch()
    if not python:
        return row(True, "PyTorch beside it", skip=why)
    path = os.path.join(OUT, "pytorch.json")
    status, said = run(python, PYTORCH, "time", BENCH, WEIGHTS, "9", path, "cuda")
    keep("pytorch.txt", said)
    row(status == 0, "PyTorch beside it", *said.splitlines())
    if status == 0:
        with open(path, encoding="utf-8") as file:
            judge_pytorch(json.load(file))


def devices():
    _, said = run(COLORIZER, "inspect", "--devices")
    return said.splitlines()


def main():
    found = devices()
    gpus = [line for line in found if line.startswith("cuda:")]
    if not gpus:
        why = [line.lstrip("- ") for line in found if "NVIDIA" in line] or ["no CUDA device"]
        print(f"1..0 # SKIP {why[0]}")
        return 0
    os.makedirs(OUT, exist_ok=True)
    tell("\n".join(found))
    self_test()
    parity()
    judge_table(table())
    losses()
    pytorch()
    print(f"1..{n_rows}")
    tell(f"{n_failed} of {n_rows} rows failed; reports are in {OUT}: send them in as an issue of this project")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
