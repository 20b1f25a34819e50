#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Networks by recipe in PyTorch, an independent statement of engine/model: same tensors, same names.

networks.py PEER    chroma, features, loss, gradients and statistics agree; exit 77 without PyTorch
"""
import math
import os
import subprocess
import sys
import tempfile

try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(f"skipped: {missing}; a virtual environment with torch and safetensors serves")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from unet import Encoder  # noqa: E402

NORM = {"weight": "scale", "bias": "shift", "running_mean": "running_mean", "running_var": "running_var"}


class Pix2pix(nn.Module):
    """The tutorial's U-Net; shared: one module at the encoder's inner levels; bare: level without ReLU."""

    def __init__(self, width, levels, shared, bare):
        super().__init__()
        def channels(k):
            return width * min(2 ** (k - 1), 8)
        self.levels, self.shared, self.bare = levels, shared, bare
        self.down, self.up = nn.ModuleDict(), nn.ModuleDict()
        for k in range(1, levels + 1):
            if not shared or not 5 < k < levels:
                down = nn.Sequential(nn.Conv2d(channels(k - 1) if k > 1 else 1, channels(k), 4, 2, 1, bias=False))
                if 1 < k < levels:
                    down.append(nn.BatchNorm2d(channels(k)))
                self.down[str(k)] = down
            wide = channels(k) * (1 if k == levels else 2)
            up = nn.Sequential(nn.ConvTranspose2d(wide, channels(k - 1) if k > 1 else 2, 4, 2, 1, bias=k == 1))
            if k > 1:
                up.append(nn.BatchNorm2d(channels(k - 1)))
            self.up[str(k)] = up

    def forward(self, x):
        skips = {}
        for k in range(1, self.levels + 1):
            inner = self.shared and 5 <= k < self.levels
            x = self.down["5" if inner else str(k)](x)
            if k < self.levels:
                x = skips[k] = F.leaky_relu(x, 0.2)
        for k in range(self.levels, 0, -1):
            x = x if k == self.levels else torch.cat([skips[k], x], 1)
            x = self.up[str(k)](x if k == self.bare else F.relu(x))
            if k == 4:
                features = x
        return 1.1 * torch.tanh(x), features

    def ours(self, name):
        side, k, layer, what = name.split(".")
        return f"{side}.{k}.{what}" if layer == "0" else f"{side}.{k}.norm.{NORM[what]}"


class Conv(nn.Module):
    """A convolution of the decoder, with its normalisation."""

    def __init__(self, c_in, c, k, norm):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c, k, padding=k // 2)
        self.norm = {"batch": nn.BatchNorm2d, "instance": lambda n: nn.InstanceNorm2d(n, affine=True),
                     "none": lambda n: nn.Identity()}[norm](c)

    def forward(self, x):
        return self.norm(self.conv(x))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.query, self.key, self.value = nn.Conv2d(c, c // 8, 1), nn.Conv2d(c, c // 8, 1), nn.Conv2d(c, c, 1)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        q, k, v = (f(x).flatten(2) for f in (self.query, self.key, self.value))
        seen = F.scaled_dot_product_attention(q.mT, k.mT, v.mT, scale=1.0).mT
        return x + self.gain * seen.reshape(x.shape)


class Variant(nn.Module):
    """EfficientNet U-Net with normalisation, two blocks, concatenated skips, attention, affine head."""

    WIDTHS, SKIPS = (24, 16, 16, 8), (112, 40, 24, 16)

    def __init__(self, norm, attention, depth, chroma, affine):
        super().__init__()
        self.attend, self.bottom, self.chroma, self.affine = attention, depth - 1, chroma, affine
        self.encoder, width = Encoder(), (16, 24, 40, 112, 320)[depth - 1]
        self.context = nn.Conv2d(width, width, 1)
        self.up = nn.ModuleDict()
        for i in range(5 - depth, 4 if chroma == 2 else 3):
            c = self.WIDTHS[i]
            self.up[str(i)] = nn.ModuleDict({
                "reduce": nn.Conv2d(width, c, 1), "lateral": Conv(c + self.SKIPS[i], c, 1, norm),
                "first": Conv(c, c, 3, norm), "second": Conv(c, c, 3, norm),
                "block": nn.ModuleDict({"1": nn.ModuleDict({"first": Conv(c, c, 3, norm), "second": Conv(c, c, 3, norm)})})})
            width = c
        at = int(math.log2(32 / attention)) - 1
        self.attention = Attention((16, 24, 40, 112, 320)[depth - 1] if attention == 2 ** depth else self.WIDTHS[at])
        self.head = nn.Conv2d(width, 4 if affine else 2, 3, padding=1)

    def forward(self, lightness):
        skips = self.encoder(lightness)
        x = skips[self.bottom]
        x = x + self.context(x.mean((2, 3), keepdim=True))
        if 2 ** (self.bottom + 1) == self.attend:
            x = self.attention(x)
        for i, up in self.up.items():
            skip = skips[3 - int(i)]
            x = F.interpolate(up["reduce"](x), size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = F.relu(up["lateral"](torch.cat([x, skip], 1)))
            for block in (up, up["block"]["1"]):
                x = F.relu(x + block["second"](F.relu(block["first"](x))))
            if 2 ** (4 - int(i)) == self.attend:
                x = self.attention(x)
            if i == "1":
                features = x
        y = self.head(x)
        if self.affine:
            size = lightness.shape[-2:]
            c, s, l = (F.interpolate(z, size=size, mode="bilinear", align_corners=False)
                       for z in (y[:, :2], y[:, 2:], F.avg_pool2d(lightness, self.chroma)))
            y = c + s * (lightness - l)
        return y, features

    def ours(self, name):
        for what in NORM:
            name = name.replace(f".norm.{what}", f".norm.{NORM[what]}") if name.startswith("up.") else name
        return name.replace(".conv.", ".")


def variant(norm, attention, depth=5, chroma=2, affine=0):
    meta = {"colorize.architecture": "unet", "colorize.n_inputs": "1", "colorize.widths": "24,16,16,8",
            "colorize.context": "1", "colorize.attention": str(attention), "colorize.depth": str(depth),
            "colorize.stride": str(chroma), "colorize.blocks": "2", "colorize.concat": "1", "colorize.affine": str(affine)}
    if norm != "none":
        meta["colorize.norm"] = {"batch": "1", "instance": "2"}[norm]
    return Variant(norm, attention, depth, chroma, affine), meta, 1 if affine else chroma


def pix2pix(width, levels, shared=0, bare=0):
    meta = {"colorize.architecture": "pix2pix", "colorize.n_inputs": "1", "colorize.width": str(width),
            "colorize.levels": str(levels), "colorize.shared": str(shared), "colorize.unactivated": str(bare),
            "colorize.dropout": "0", "colorize.range": "110"}
    return Pix2pix(width, levels, shared, bare), meta, 1


CASES = {"pix2pix": pix2pix(8, 6), "pix2pix, eight levels": pix2pix(4, 8), "the seed's": pix2pix(4, 8, 1, 5),
         "batch normalisation, attention at 1/8": variant("batch", 8),
         "instance normalisation, attention at 1/16, to 1/16": variant("instance", 16, 4),
         "attention at 1/4, chroma at 1/4": variant("none", 4, 5, 4), "affine head": variant("batch", 8, 5, 2, 1)}


def fill(network, make):
    """Numbers that keep activations of about 1, so that no layer is out of sight."""
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        noise = torch.randn(tensor.shape, generator=make)
        fan = tensor[0].numel() if tensor.dim() > 1 else 1
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.copy_(1 + 0.3 * noise.clamp(-2, 2))
        else:
            tensor.copy_(noise * math.sqrt(1.5 / fan) if tensor.dim() > 1 else 0.3 * noise)


def report(title, worst, bound):
    print(f"{'ok ' if worst <= bound else 'BAD'} {title:<70} {worst:.3g}, bound {bound:.3g}", flush=True)
    return worst <= bound


def distance(ours, theirs):
    theirs = theirs.detach().double()
    return ((ours.double().reshape(theirs.shape) - theirs).norm() / theirs.norm().clamp(min=1e-6)).item()


def draw(peer, network, meta, stride, train, folder, seed):
    """Distances by name for one draw of weights and input: what came out, and each tensor's gradient."""
    make = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        fill(network, make)
    network.train(train)
    tensors = {network.ours(k): v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file({k: v.clone() for k, v in tensors.items()}, f"{folder}/weights.safetensors", metadata=meta)
    side = 256 if meta.get("colorize.levels") == "8" else 64
    lightness = torch.randn(2, 1, side, side, generator=make).clamp(-1, 1)
    chroma = 0.3 * torch.randn(2, 2, side // stride, side // stride, generator=make)
    save_file({"lightness": lightness, "chroma": chroma}, f"{folder}/in.safetensors")
    subprocess.run([peer, f"{folder}/weights.safetensors", f"{folder}/in.safetensors", f"{folder}/out.safetensors",
                    str(int(train))], check=True)
    ours = load_file(f"{folder}/out.safetensors")
    # In double: what differs is ours.
    network = network.double()
    network.zero_grad()
    seen = {}
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and train:
            module.momentum = 1.0  # the running statistics become the last batch's
    y, features = network(lightness.double())
    loss = ((y - chroma.double()) ** 2).mean()
    loss.backward()
    grads = {k: p.grad for k, p in network.named_parameters() if p.grad is not None}  # the encoder may end early
    found = {"chroma": distance(ours["chroma"], y), "features": distance(ours["features"], features)}
    for k, v in network.named_buffers():
        if train and "running" in k:
            seen[k] = distance(ours["statistic/" + network.ours(k)], v)
    if seen:
        found["statistics"] = max(seen.values())
    slopes = {k: distance(ours["grad/" + network.ours(k)], g) for k, g in grads.items() if g.norm() > 1e-6}
    network.float()
    return found, slopes


# Sums of up to 2^15 products of F32 through some twenty layers: 2^-24 sqrt(2^15) sqrt(20) = 5e-5; the way back starts
# from that error and is as long again, with batch statistics of few places in each layer: five times that.
FORWARD, BACKWARD, DRAWS = 5e-5, 2.5e-4, 3


def check(peer, title, network, meta, stride, train, folder):
    """A mistake is in every draw; a ReLU that tips over, where F32 and double fall on two sides of its kink, in one."""
    draws = [draw(peer, network, meta, stride, train, folder, 100 * seed + len(title)) for seed in range(DRAWS)]
    title = f"{title}, {'training' if train else 'use'}"
    good = True
    for name in draws[0][0]:
        good &= report(f"{title}: {name}", max(found[name] for found, _ in draws), FORWARD)
    least = {k: min(slopes.get(k, math.inf) for _, slopes in draws) for k in set().union(*(slopes for _, slopes in draws))}
    worst = max(least, key=least.get)
    return good & report(f"{title}: gradient of {worst}, the worst of {len(least)}", least[worst], BACKWARD)


def main():
    with tempfile.TemporaryDirectory() as folder:
        results = [check(sys.argv[1], title, *case, train, folder) for title, case in CASES.items() for train in (True, False)]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
