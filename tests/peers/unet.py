# SPDX-License-Identifier: LGPL-3.0-or-later
"""The generator in PyTorch, an independent statement of engine/model/unet.c: same tensors, same names.

(N, 1, H, W) L*/50 - 1  ->  chroma ab/100 at half size, features at 1/8.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

# kernel, stride of the first, expansion, channels in, channels out, blocks (EfficientNet-lite0)
STAGES = [(3, 1, 1, 32, 16, 1), (3, 2, 6, 16, 24, 2), (5, 2, 6, 24, 40, 2), (3, 2, 6, 40, 80, 3),
          (5, 1, 6, 80, 112, 3), (5, 2, 6, 112, 192, 4), (3, 1, 6, 192, 320, 1)]
SKIP_AFTER = (0, 2, 4, 10, 15)


class SameConv(nn.Module):
    """TensorFlow's "same" padding: the smaller half first."""

    def __init__(self, c_in, c_out, k, stride=1, groups=1, activation=True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(c_out, c_in // groups, k, k))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.k, self.stride, self.groups, self.activation = k, stride, groups, activation

    def forward(self, x):
        def halves(n):
            total = max((-(-n // self.stride) - 1) * self.stride + self.k - n, 0)
            return total // 2, total - total // 2
        (top, bottom), (left, right) = halves(x.shape[2]), halves(x.shape[3])
        if top == bottom and left == right:
            x = F.conv2d(x, self.weight, self.bias, self.stride, (top, left), groups=self.groups)
        else:
            x = F.conv2d(F.pad(x, (left, right, top, bottom)), self.weight, self.bias, self.stride, groups=self.groups)
        return F.relu6(x) if self.activation else x


class Block(nn.Module):
    def __init__(self, k, stride, expansion, c_in, c_out):
        super().__init__()
        mid = c_in * expansion
        self.expand = SameConv(c_in, mid, 1) if expansion > 1 else None
        self.depthwise = SameConv(mid, mid, k, stride, mid)
        self.project = SameConv(mid, c_out, 1, activation=False)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x) if self.expand else x))
        return x + y if self.residual else y


class Encoder(nn.Module):
    def __init__(self, n_inputs=1, n_blocks=16):
        super().__init__()
        self.stem = SameConv(n_inputs, 32, 3, 2)
        blocks = [Block(k, s if i == 0 else 1, e, c if i == 0 else o, o) for k, s, e, c, o, n in STAGES for i in range(n)]
        self.block = nn.ModuleList(blocks[:n_blocks])

    def forward(self, x):
        skips, x = [], self.stem(x)
        for i, block in enumerate(self.block):
            x = block(x)
            if i in SKIP_AFTER:
                skips.append(x)
        return skips


class Up(nn.Module):
    def __init__(self, c_in, c_skip, c):
        super().__init__()
        self.reduce, self.lateral = nn.Conv2d(c_in, c, 1), nn.Conv2d(c_skip, c, 1)
        self.first, self.second = nn.Conv2d(c, c, 3, 1, 1), nn.Conv2d(c, c, 3, 1, 1)

    def forward(self, x, skip):
        x = F.interpolate(self.reduce(x), size=skip.shape[-2:], mode="bilinear", align_corners=False)
        x = F.relu(x + self.lateral(skip))
        return F.relu(x + self.second(F.relu(self.first(x))))


class UNet(nn.Module):
    def __init__(self, widths=(128, 96, 64, 48)):
        super().__init__()
        self.encoder = Encoder()
        self.context = nn.Conv2d(320, 320, 1)
        channels, skips = (320, *widths[:-1]), (112, 40, 24, 16)
        self.up = nn.ModuleList(Up(i, s, o) for i, s, o in zip(channels, skips, widths))
        self.head = nn.Conv2d(widths[-1], 2, 3, 1, 1)

    def forward(self, lightness):
        *skips, y = self.encoder(lightness)
        y = y + self.context(y.mean((2, 3), keepdim=True))
        levels = []
        for up, skip in zip(self.up, reversed(skips)):
            y = up(y, skip)
            levels.append(y)
        return self.head(y), levels[1]
