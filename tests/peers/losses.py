# SPDX-License-Identifier: LGPL-3.0-or-later
"""The training step in PyTorch, from the same weights and batch: every loss, the critic's step, R1.

An independent statement of training/losses.c, classes.c, perceptual.c, gan.c and engine/model/critic.c.
"""
import subprocess

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from unet import Encoder, UNet

WEIGHTS = {"huber": 1.0, "l1": 0.5, "gradient": 0.25, "gan": 0.125, "colourfulness": 0.25, "spread": 0.5, "log-mse": 0.125, "class": 0.0625, "perceptual": 0.25}

# Keys of the critic.
SETUPS = [{"gan.loss": "bce", "gan.spectral": 0, "gan.batch-norm": 1, "gan.scales": 2, "gan.r1": 10},
          {"gan.loss": "lsgan", "gan.spectral": 1, "gan.conditional": 0, "gan.r1": 0},
          {"gan.loss": "hinge", "gan.spectral": 1, "gan.r1": 5}]

# sRGB's primaries under D50 as its ICC profiles have them (Bradford); the white is the rows' sums.
TO_XYZ = torch.tensor([[0.436034844, 0.385116654, 0.143051372], [0.222487940, 0.716903839, 0.060608257],
                       [0.013915885, 0.097060507, 0.713928955]], dtype=torch.float64)
WHITE = TO_XYZ.sum(1)


def lab_to_rgb(lab):
    """(N, 3, H, W), clipped to 0..1."""
    fy = (lab[:, :1] + 16) / 116
    f = torch.cat([fy + lab[:, 1:2] / 500, fy, fy - lab[:, 2:] / 200], 1)
    xyz = torch.where(f > 6 / 29, f ** 3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * WHITE.view(1, 3, 1, 1)
    linear = torch.einsum("ij,njhw->nihw", torch.linalg.inv(TO_XYZ), xyz).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=1e-4) ** (1 / 2.4) - 0.055)


def squares():
    """The squares of 10 units that sRGB reaches, by a* and then b*."""
    axis = np.arange(65) / 64
    rgb = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    t = linear @ TO_XYZ.numpy().T / WHITE.numpy()
    f = np.where(t > 216 / 24389, np.cbrt(t), t * 24389 / 27 / 116 + 16 / 116)
    ab = np.stack([500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
    return torch.tensor(10 * np.unique(np.floor(ab / 10 + 0.5), axis=0))


def class_loss(weights, features, truth):
    centers = squares()
    ab = F.avg_pool2d(100 * truth, truth.shape[2] // features.shape[2]).permute(0, 2, 3, 1).reshape(-1, 2)
    distance = torch.cdist(ab.double(), centers)
    near, index = distance.topk(5, largest=False)
    share = torch.softmax(-near ** 2 / 50, 1)
    logits = F.conv2d(features, weights["classes.weight"], weights["classes.bias"]).permute(0, 2, 3, 1).reshape(-1, len(centers))
    cross = -(share * F.log_softmax(logits, 1).gather(1, index)).sum(1)
    return (weights["classes.balance"][index[:, 0]] * cross).mean()


def perceptual(encoder, lightness, output, truth):
    def see(chroma):
        rgb = lab_to_rgb(torch.cat([50 * lightness + 50, 100 * chroma], 1))
        return encoder((255 * rgb - 127) / 128)[1:4]
    return sum(((F.normalize(a, dim=1) - F.normalize(b, dim=1)) ** 2).sum(1).mean() for a, b in zip(see(output), see(truth)))


def critic(weights, keys, lightness, chroma):
    """A list of logits, by scale."""
    x = torch.cat([lightness, chroma], 1) if keys.get("gan.conditional", 1) else chroma
    logits = []
    for scale in range(keys.get("gan.scales", 1)):
        if scale:
            x = F.avg_pool2d(x, 2)
        y, layers = x, 4  # two of stride 2
        for i in range(layers):
            name = f"critic.{scale}.{i}."
            weight = weights[name + "weight"]
            if keys["gan.spectral"]:
                matrix, u = weight.flatten(1), weights[name + "u"].flatten()
                v = F.normalize(matrix.T @ u, dim=0)
                weight = weight / (matrix @ v).norm()
            y = F.conv2d(y, weight, weights.get(name + "bias"), 2 if i < layers - 2 else 1, 1)
            if name + "scale" in weights:
                y = F.batch_norm(y, None, None, weights[name + "scale"], weights[name + "shift"], training=True, eps=1e-5)
            if i < layers - 1:
                y = F.leaky_relu(y, 0.2)
        logits.append(y)
    return logits


def gan_cost(kind, logits, real):
    if kind == "lsgan":
        return F.mse_loss(logits, torch.full_like(logits, float(real)))
    if kind == "hinge":
        return F.relu(1 - logits if real else 1 + logits).mean()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def generator_terms(weights, keys, lightness, truth):
    network = UNet(tuple(weights[f"up.{i}.first.weight"].shape[0] for i in range(4))).double()
    own = {k: v for k, v in weights.items() if not k.startswith(("classes.", "critic.", "hint.", "perceptual."))}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(False)
        parameter.copy_(own[name])
        own[name] = parameter.requires_grad_(True)
    output, features = network(lightness)
    encoder = Encoder(3, 11).double()
    encoder.load_state_dict({k.removeprefix("perceptual."): v for k, v in weights.items() if k.startswith("perceptual.")})
    encoder.requires_grad_(False)
    d, small = output - truth, F.avg_pool2d(lightness, 2)

    def chroma(ab):
        return (ab.pow(2).sum(1) + 1e-6).sqrt().mean()

    def spread(ab):
        return (ab.var((0, 2, 3), correction=0).sum() + 1e-6).sqrt()
    logits = critic(weights, keys, small, output)
    verdict = sum(-y.mean() if keys["gan.loss"] == "hinge" else gan_cost(keys["gan.loss"], y, True) for y in logits) / len(logits)
    terms = {"huber": F.smooth_l1_loss(output, truth, beta=0.1), "l1": F.l1_loss(output, truth),
             "gradient": d.diff(dim=3).abs().mean() + d.diff(dim=2).abs().mean(), "gan": verdict,
             "colourfulness": (chroma(output) - chroma(truth)).abs(), "class": class_loss(weights, features, truth),
             "log-mse": (d.pow(2).mean((1, 2, 3)) + 1e-3).log().mean(),
             "spread": (spread(output) - spread(truth)).abs(),
             "perceptual": perceptual(encoder, small, output, truth)}
    return own, terms


def critic_step(weights, keys, lightness, truth, fake):
    """Loss with R1, R1 alone, and gradients by name."""
    kind, small = keys["gan.loss"], F.avg_pool2d(lightness, 2)
    mine = {k: v.clone().requires_grad_(True) for k, v in weights.items() if k.startswith("critic.") and not k.endswith(".u")}
    everything, truth = {**weights, **mine}, truth.clone().requires_grad_(True)
    real, made = critic(everything, keys, small, truth), critic(everything, keys, small, fake)
    loss = sum(gan_cost(kind, a, True) + gan_cost(kind, b, False) for a, b in zip(real, made)) / 2 / len(real)
    slope, = torch.autograd.grad(sum(y.sum() for y in real), truth, create_graph=True)
    penalty = keys["gan.r1"] / 2 * slope.pow(2).sum() / len(truth)
    (loss + penalty).backward()
    return loss + penalty, penalty, {k: v.grad for k, v in mine.items()}


def worst_gradient(found, expected, beta1):
    """The largest difference over the norm, and where; a zero gradient is compared with the largest norm."""
    largest = max(g.norm() for g in expected.values())
    return max(((found["m/" + k].double().reshape(g.shape) / (1 - beta1) - g).norm().item() /
                max(g.norm().item(), 1e-4 * largest.item()), k) for k, g in expected.items())


def check_scalars(title, found, expected, bound):
    good = True
    for name, value in expected.items():
        off = abs(found[name].item() - value.item()) / max(abs(value.item()), 1e-3)
        good &= off <= bound
        print(f"{'ok ' if off <= bound else 'BAD'} {title} {name:<20} {value.item():.7g}, relative difference {off:.2g}, bound {bound:g}")
    return good


def check_step(peer, weights, encoder, keys, sample, folder):
    lightness, truth = sample
    save_file({"lightness": lightness, "chroma": truth}, f"{folder}/in.safetensors")
    sets = [f"loss.{k}={v}" for k, v in WEIGHTS.items()] + [f"{k}={v}" for k, v in keys.items()]
    sets += [f"network.start={weights}", f"loss.perceptual-encoder={encoder}", "optimizer.clip=0"]
    subprocess.run([peer, "step", f"{folder}/in.safetensors", f"{folder}/out.safetensors", *sets], check=True)
    found = load_file(f"{folder}/out.safetensors")
    start = {k[2:]: v.double() for k, v in found.items() if k.startswith("w/")}
    lightness, truth, title = lightness.double(), truth.double(), keys["gan.loss"]
    head = {k: start[k].requires_grad_(True) for k in ("classes.weight", "classes.bias")}
    own, terms = generator_terms(start, keys, lightness, truth)
    own.update(head)
    terms["total"] = sum(weight * terms[name] for name, weight in WEIGHTS.items())
    terms["total"].backward()
    good = check_scalars(f"{title}: loss", {k: found[f"term/{k}"] for k in terms}, terms, 2e-5)
    loss, penalty, slopes = critic_step(start, keys, lightness, truth, found["fake"].double())
    good &= check_scalars(f"{title}: critic", {"loss": found["critic/loss"], "r1": found["critic/r1"]}, {"loss": loss, "r1": penalty},
                          1e-4)
    # As in pytorch.py: sums in another order, and a few places on the other side of a kink.
    for what, gradients, beta1 in (("generator", {k: v.grad for k, v in own.items()}, 0.9), ("critic", slopes, 0.5)):
        worst, at = worst_gradient(found, gradients, beta1)
        good &= worst <= 2e-3
        print(f"{'ok ' if worst <= 2e-3 else 'BAD'} {title}: gradients of {len(gradients)} tensors of the {what}: worst {at}, "
              f"{worst:.3g} of its norm, bound 0.002")
    return good
