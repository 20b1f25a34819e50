#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""An independent witness: the same weights file in PyTorch.

pytorch.py check PEER WEIGHTS    outputs, losses and every gradient agree, a training step's (losses.py)
                                 with critic and R1 included; exit 77 without PyTorch
pytorch.py time PEER WEIGHTS [RUNS [JSON]]              speed of inference and of a training step, interleaved, as a table
pytorch.py time BENCH_GPU WEIGHTS RUNS JSON cuda        the same on a GPU; tests/gpu/hardware.py judges it
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(f"skipped: {missing}; a virtual environment with torch, numpy and safetensors serves")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import losses  # noqa: E402
from unet import UNet  # noqa: E402


def load(path):
    with safe_open(path, "pt") as file:
        widths = tuple(int(w) for w in file.metadata()["colorize.widths"].split(","))
    network = UNet(widths)
    network.load_state_dict({k: v.float() for k, v in load_file(path).items() if not k.startswith(("classes.", "hint."))}, strict=True)
    return network


def sample(batch, height, width, seed=0):
    """Smooth lightness and chroma: noise at several scales, as photographs have it."""
    make = torch.Generator().manual_seed(seed)

    def smooth(channels, h, w):
        return sum(F.interpolate(torch.randn(batch, channels, max(h // s, 1), max(w // s, 1), generator=make), size=(h, w),
                                 mode="bilinear") for s in (1, 4, 16)) / 3
    return smooth(1, height, width).clamp(-1, 1), 0.2 * smooth(2, -(-height // 2), -(-width // 2))


def compare(name, ours, theirs, bound):
    worst = (ours - theirs).abs().max().item()
    print(f"{'ok ' if worst <= bound else 'BAD'} {name:<44} max |difference| {worst:.3g}, bound {bound:.3g}")
    return worst <= bound


def check_shape(peer, weights, batch, height, width, folder):
    network = load(weights)
    lightness, chroma = sample(batch, height, width)
    save_file({"lightness": lightness, "chroma": chroma}, f"{folder}/in.safetensors")
    subprocess.run([peer, "run", weights, f"{folder}/in.safetensors", f"{folder}/out.safetensors", "cpu", "0"], check=True)
    ours = load_file(f"{folder}/out.safetensors")
    theirs, features = network(lightness)
    loss = F.smooth_l1_loss(theirs, chroma, beta=0.1)
    loss.backward()
    title = f"{batch}x{height}x{width}"
    # ab/100 here: 1e-3 of a unit of ab is 1e-5.
    good = compare(f"{title} chroma, in units of ab", 100 * ours["chroma"], 100 * theirs.detach(), 1e-3)
    good &= compare(f"{title} features", ours["features"], features.detach(), 1e-4 * features.abs().max().item())
    good &= compare(f"{title} loss", ours["loss"].reshape(()), loss.detach(), 1e-5 * loss.item())
    worst, at, n = 0.0, "", 0
    for name, parameter in network.named_parameters():
        mine, true = ours["grad/" + name], parameter.grad
        relative = ((mine.reshape(true.shape) - true).norm() / true.norm().clamp(min=1e-8)).item()
        n += 1
        if relative > worst:
            worst, at = relative, name
    # Sums of up to 4 million products in another order: sqrt(4e6) * 2^-24 = 1.2e-4, and ReLU's
    # kinks let single places differ: ten times that.
    print(f"{'ok ' if worst <= 1.2e-3 else 'BAD'} {title} gradients of {n} tensors: worst {at}, {worst:.3g} of its norm, "
          "bound 0.0012")
    return good and worst <= 1.2e-3


def check(peer, weights):
    with tempfile.TemporaryDirectory() as folder:
        shapes = [(1, 256, 256), (2, 97, 131), (4, 128, 128)]
        results = [check_shape(peer, weights, *shape, folder) for shape in shapes]
        encoder = os.path.join(os.environ["COLORIZE_SOURCE_ROOT"], "training", "pretrained",
                               "efficientnet-lite0-imagenet.safetensors")
        # Not clamped: where many places have one lightness, all of them cross a kink together.
        batch = 2 * sample(3, 192, 192, seed=5)[1][:, :1], sample(3, 96, 96, seed=4)[1]
        results += [losses.check_step(peer, weights, encoder, keys, batch, folder) for keys in losses.SETUPS]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


# ---- time ------------------------------------------------------------------------------------------

class Ours:
    """peer time, or bench_gpu serve: a line with a number of runs in, milliseconds a run out."""

    def __init__(self, arguments, weights):
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, env={**os.environ, "COLORIZE_WEIGHTS": os.path.abspath(weights)})

    def __call__(self, n=1):
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise EOFError("ours has ended: its device does not run this")
        return float(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


DTYPES = {"F32": torch.float32, "TF32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


class Theirs:
    """PyTorch at its best: channels_last, inference mode or fused AdamW, autocast for BF16."""

    def __init__(self, weights, kind, size, batch, precision, threads=0, device="cpu", compiled=False):
        self.threads, self.precision, self.kind, self.device, self.compiled = threads, precision, kind, device, compiled
        self.network = load(weights).to(device, memory_format=torch.channels_last)
        lightness, chroma = sample(batch, size, size)
        self.lightness, self.chroma = lightness.to(memory_format=torch.channels_last), chroma
        if device != "cpu":
            self.lightness, self.chroma = self.lightness.pin_memory(), self.chroma.pin_memory()
        if kind == "train":
            self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-5, fused=True)
            self.average = [p.detach().clone() for p in self.network.parameters()]
        else:
            self.network = self.network.to(DTYPES[precision])
            if device == "cpu":
                self.lightness = self.lightness.to(DTYPES[precision])
        self.weights = list(self.network.parameters())
        if compiled:
            self.network = torch.compile(self.network, mode="reduce-overhead")

    def upload(self, tensor):
        return tensor if self.device == "cpu" else tensor.to(self.device, non_blocking=True)

    def infer(self):
        with torch.inference_mode():
            self.output, _ = self.network(self.upload(self.lightness).to(DTYPES[self.precision]))

    def step(self):
        lightness, chroma = self.upload(self.lightness), self.upload(self.chroma)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "BF16"):
            output, _ = self.network(lightness)
        loss = F.smooth_l1_loss(output.float(), chroma, beta=0.1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.weights, 0.001)
        self.output = loss.detach()

    def __call__(self, n=1):
        if self.device == "cpu":
            torch.set_num_threads(self.threads)
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.precision == "TF32"
        torch.backends.cudnn.benchmark = True
        began = time.perf_counter()
        for _ in range(n):
            if self.compiled:
                torch.compiler.cudagraph_mark_step_begin()
            if self.kind == "train":
                self.step()
            else:
                self.infer()
        if self.device != "cpu":
            self.output.float().cpu()  # what ours ends with
        return 1000 * (time.perf_counter() - began) / n

    def close(self):
        pass


def interleave(contenders, runs, n=1):
    """Milliseconds by contender; the first two times do not count."""
    times = [[] for _ in contenders]
    for _ in range(runs + 2):
        for side, one in zip(times, contenders):
            side.append(one(n))
    for one in contenders:
        one.close()
    return [side[2:] for side in times]


def row(name, ours, theirs, **more):
    ratio = statistics.median(t / o for o, t in zip(ours, theirs))
    print(f"{name:<38} ours {statistics.median(ours):8.3f} ({min(ours):.3f})  PyTorch {statistics.median(theirs):8.3f} "
          f"({min(theirs):.3f})  ratio {ratio:.2f} (of minima {min(theirs) / min(ours):.2f})", flush=True)
    return {"name": name, "ours_ms": ours, "pytorch_ms": theirs, "ratio": ratio, **more}


def time_cpu(peer, weights, runs):
    rows = []
    for kind, size, batch in (("infer", 256, 1), ("infer", 512, 1), ("train", 128, 16)):
        for precision in ("F32", "BF16"):
            for threads in (1, 2):
                ours = Ours([peer, "time", weights, kind, str(size), str(batch), str(int(precision == "BF16")), str(threads)],
                            weights)
                times = interleave([ours, Theirs(weights, kind, size, batch, precision, threads)], runs)
                plural = "s" if threads > 1 else ""
                rows.append(row(f"{kind} {batch}x{size}² {precision} {threads} thread{plural}", *times))
    return rows


def contenders_on(device, weights, kind, size, batch, precision, n):
    """Eager, and compiled where that works: both have run once when they come back."""
    made = {}
    for variant in ("eager", "compiled"):
        try:
            one = Theirs(weights, kind, size, batch, precision, device=device, compiled=variant == "compiled")
            one(n)
            made[variant] = one
        except Exception as error:  # a compiler is missing, or gives up: of many kinds
            print(f"{kind} {precision}: PyTorch {variant} does not run: {(str(error).splitlines() or [repr(error)])[0]}")
    return made


def time_gpu(bench, weights, runs, device, cases=(("infer", 512, 1, 20), ("train", 128, 16, 5))):
    rows = []
    for kind, size, batch, n in cases:
        for precision in ("F32", "TF32", "BF16", "F16")[:3 if kind == "train" else 4]:
            theirs = contenders_on(device, weights, kind, size, batch, precision, n)
            ours = Ours([bench, "serve", "--device", "cuda", "--kind", kind, "--size", str(size), "--crop", str(size),
                         "--batch", str(batch), "--precision", precision], weights)
            try:
                times = interleave([ours, *theirs.values()], runs, n)
            except (EOFError, BrokenPipeError) as error:
                print(f"{kind} {precision}: {error}")
                continue
            for variant, side in zip(theirs, times[1:]):
                rows.append(row(f"{kind} {batch}x{size}² {precision}, {variant}", times[0], side, kind=kind, batch=batch,
                                precision=precision, variant=variant))
    return rows


def time_all(peer, weights, runs, device):
    if device != "cpu" and not torch.cuda.is_available():
        print(f"skipped: PyTorch {torch.__version__} finds no CUDA device")
        sys.exit(77)
    where = "cpu" if device == "cpu" else torch.cuda.get_device_name()
    print(f"PyTorch {torch.__version__} on {where}; medians (minima) of {runs} interleaved runs, ms")
    return time_cpu(peer, weights, runs) if device == "cpu" else time_gpu(peer, weights, runs, device)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    if sys.argv[1] == "check":
        sys.exit(check(sys.argv[2], sys.argv[3]))
    result = time_all(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 9,
                      sys.argv[6] if len(sys.argv) > 6 else "cpu")
    if len(sys.argv) > 5:
        with open(sys.argv[5], "w") as out:
            json.dump(result, out, indent=1)
