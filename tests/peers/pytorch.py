#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""An independent witness: the same weights file in PyTorch.

pytorch.py check PEER WEIGHTS    outputs, losses and every gradient agree, a training step's (losses.py)
                                 with critic and R1 included; exit 77 without PyTorch
pytorch.py time PEER WEIGHTS     speed of inference and of a training step, interleaved, as a table
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
    def __init__(self, peer, weights, kind, size, batch, bf16, threads):
        self.process = subprocess.Popen([peer, "time", weights, kind, str(size), str(batch), str(int(bf16)), str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def __call__(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Theirs:
    """PyTorch at its best: channels_last, inference mode or fused AdamW, autocast for BF16."""

    def __init__(self, weights, kind, size, batch, bf16, threads):
        torch.set_num_threads(threads)
        self.threads, self.bf16, self.kind = threads, bf16, kind
        self.network = load(weights).to(memory_format=torch.channels_last)
        lightness, self.chroma = sample(batch, size, size)
        self.lightness = lightness.to(memory_format=torch.channels_last)
        if kind == "train":
            self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-5, fused=True)
            self.average = [p.detach().clone() for p in self.network.parameters()]
        elif bf16:
            self.network, self.lightness = self.network.bfloat16(), self.lightness.bfloat16()

    def step(self):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            output, _ = self.network(self.lightness)
        loss = F.smooth_l1_loss(output.float(), self.chroma, beta=0.1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.network.parameters()), 0.001)

    def __call__(self):
        torch.set_num_threads(self.threads)
        began = time.perf_counter()
        if self.kind == "train":
            self.step()
        else:
            with torch.inference_mode():
                self.network(self.lightness)
        return 1000 * (time.perf_counter() - began)

    def close(self):
        pass


def time_all(peer, weights, runs):
    rows = []
    print(f"PyTorch {torch.__version__}; medians (minima) of {runs} interleaved runs, ms")
    for kind, size, batch in (("infer", 256, 1), ("infer", 512, 1), ("train", 128, 16)):
        for bf16 in (False, True):
            for threads in (1, 2):
                pair = (Ours(peer, weights, kind, size, batch, bf16, threads), Theirs(weights, kind, size, batch, bf16, threads))
                times = ([], [])
                for i in range(runs + 2):
                    for side, one in zip(times, pair):
                        side.append(one())
                for one in pair:
                    one.close()
                ours, theirs = (side[2:] for side in times)
                ratio = statistics.median(t / o for o, t in zip(ours, theirs))
                name = f"{kind} {batch}x{size}² {'BF16' if bf16 else 'F32'} {threads} thread{'s' if threads > 1 else ''}"
                print(f"{name:<34} ours {statistics.median(ours):8.1f} ({min(ours):.1f})  PyTorch {statistics.median(theirs):8.1f} "
                      f"({min(theirs):.1f})  ratio {ratio:.2f} (of minima {min(theirs) / min(ours):.2f})", flush=True)
                rows.append({"name": name, "ours_ms": ours, "pytorch_ms": theirs, "ratio": ratio})
    return rows


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    if sys.argv[1] == "check":
        sys.exit(check(sys.argv[2], sys.argv[3]))
    result = time_all(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 9)
    if len(sys.argv) > 5:
        with open(sys.argv[5], "w") as out:
            json.dump(result, out, indent=1)
