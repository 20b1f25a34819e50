#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""An independent witness of evaluate's figures: scikit-image, scipy and plain numpy.

figures.py FIGURES    FIGURES is the program made from figures.c

PSNR, SSIM and CIEDE2000 are scikit-image's, the root of a matrix is scipy's. What neither has (both
colourfulnesses, both figures of bleeding, L*a*b* with the D50 white of ICC profiles) is written out
again here from its definition, in float64.
"""
import json
import subprocess
import sys
import tempfile

import numpy as np
import scipy.linalg
import scipy.ndimage
import skimage
from skimage.color import deltaE_ciede2000
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

# sRGB's primaries adapted to D50 (ICC), as babl has them.
TO_XYZ = np.array([[0.436034844, 0.385116654, 0.143051372],
                   [0.222487940, 0.716903839, 0.060608257],
                   [0.013915885, 0.097060507, 0.713928955]])
WHITE = np.array([0.96420288, 1.0, 0.82490540])


def to_lab(rgb):
    v = rgb / 255.0
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    t = linear @ TO_XYZ.T / WHITE
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def colourfulness(rgb, absolute):
    r, g, b = (rgb[..., k].astype(float) for k in range(3))
    rg, yb = r - g, (r + g) / 2 - b
    if absolute:
        rg, yb = abs(rg), abs(yb)
    return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())


def slopes(channel):
    """d/dx and d/dy of the inner pixels."""
    return (channel[1:-1, 2:] - channel[1:-1, :-2]) / 2, (channel[2:, 1:-1] - channel[:-2, 1:-1]) / 2


def edge_error(truth, output):
    steep = np.hypot(*slopes(truth[..., 0]))
    ordered = np.sort(steep, axis=None)
    least = ordered[len(ordered) - 1 - (len(ordered) - 1) // 10]
    squares = sum((p - q) ** 2 for k in (1, 2) for p, q in zip(slopes(output[..., k]), slopes(truth[..., k])))
    return np.sqrt(squares)[(steep >= least) & (steep > 0)].mean()


def edges(lab):
    chroma = np.sqrt(sum(s ** 2 for k in (1, 2) for s in slopes(lab[..., k]))) >= 2
    lightness = np.hypot(*slopes(lab[..., 0])) >= 4
    near = scipy.ndimage.maximum_filter(lightness, size=5, mode="constant", cval=False)
    return int(chroma.sum()), int((chroma & ~near).sum())


def figures_of(a, b):
    lab_a, lab_b = to_lab(a), to_lab(b)
    n_chroma, n_stray = edges(lab_b)
    return {"psnr": peak_signal_noise_ratio(a, b, data_range=255),
            "ssim": structural_similarity(a, b, channel_axis=2, gaussian_weights=True, sigma=1.5,
                                          use_sample_covariance=False, data_range=255),
            "cf": colourfulness(b, False), "cf_abs": colourfulness(b, True),
            "de00": deltaE_ciede2000(lab_a, lab_b).mean(), "edge_error": edge_error(lab_a, lab_b),
            "n_chroma": n_chroma, "n_stray": n_stray}


def frechet(a, b):
    """As everywhere in the field: scipy's root of the product."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    shift = a.mean(0) - b.mean(0)
    return shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root).real


def frechet_of_few(a, b):
    """The same where covariances have no full rank, and sqrtm no accuracy: the singular values of
    the product of the centred rows are the roots of the eigenvalues."""
    x, y = a - a.mean(0), b - b.mean(0)
    x, y = x / np.sqrt(len(a) - 1), y / np.sqrt(len(b) - 1)
    shift = a.mean(0) - b.mean(0)
    return shift @ shift + (x ** 2).sum() + (y ** 2).sum() - 2 * scipy.linalg.svdvals(x @ y.T).sum()


def photograph(rng, height, width):
    """Smooth areas, edges and grain."""
    picture = sum(scipy.ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (s, s, 0)) * s for s in (1, 4, 12))
    picture[:, width // 3:] *= 0.4
    picture[height // 2:] += [0.8, -0.3, 0.2]
    return np.clip(128 + 55 * picture, 0, 255).astype(np.uint8)


def compare(what, ours, theirs, bound):
    good = abs(ours - theirs) <= bound
    print(f"{'ok ' if good else 'BAD'} {what:<34} {ours:14.9g} {theirs:14.9g}  |difference| {abs(ours - theirs):.3g}, "
          f"bound {bound:.3g}")
    return good


def check_pictures(program, folder):
    # Exact but for the order of sums: 1e-9. L*a*b* is of float there: some 1e-5 of a unit each; edges
    # are counted with thresholds, where that may move a few of some thousand pixels.
    bounds = {"psnr": 1e-9, "ssim": 1e-9, "cf": 1e-8, "cf_abs": 1e-8, "de00": 1e-5, "edge_error": 1e-5,
              "n_chroma": 3, "n_stray": 3}
    good = True
    for seed, (height, width) in enumerate([(256, 256), (97, 131), (40, 300)]):
        rng = np.random.default_rng(seed)
        a = photograph(rng, height, width)
        mixed = 0.7 * a + 0.3 * np.roll(photograph(rng, height, width), 3, 1)
        b = mixed.astype(np.uint8)
        a.tofile(f"{folder}/a")
        b.tofile(f"{folder}/b")
        out = subprocess.run([program, "pictures", str(width), str(height), f"{folder}/a", f"{folder}/b"], check=True,
                             capture_output=True, text=True).stdout
        ours, theirs = json.loads(out), figures_of(a, b)
        for key, bound in bounds.items():
            good &= compare(f"{key} {width}x{height}", ours[key], float(theirs[key]), bound)
    return good


def check_frechet(program, folder):
    good = True
    for n_a, n_b, d in ((500, 500, 64), (2000, 1500, 320), (300, 300, 320), (40, 60, 100)):
        rng = np.random.default_rng(d)
        mix = rng.normal(size=(d, d)) / np.sqrt(d)
        a = rng.normal(size=(n_a, d)).astype(np.float32)
        b = (rng.normal(size=(n_b, d)) @ (np.eye(d) + 0.5 * mix) + 0.1).astype(np.float32)
        a.tofile(f"{folder}/a")
        b.tofile(f"{folder}/b")
        ours = float(subprocess.run([program, "frechet", str(n_a), str(n_b), str(d), f"{folder}/a", f"{folder}/b"],
                                    check=True, capture_output=True, text=True).stdout)
        full = min(n_a, n_b) > d
        theirs = (frechet if full else frechet_of_few)(a.astype(float), b.astype(float))
        # Zero eigenvalues come out as 1e-16 of the largest, their roots as 1e-8 of its root.
        good &= compare(f"Frechet {n_a}, {n_b} rows of {d}" + (" (sqrtm)" if full else ""), ours, theirs, 1e-6 * theirs)
    return good


def main():
    print(f"scikit-image {skimage.__version__}, scipy {scipy.__version__}, numpy {np.__version__}; ours, theirs")
    with tempfile.TemporaryDirectory() as folder:
        results = [check_pictures(sys.argv[1], folder), check_frechet(sys.argv[1], folder)]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
