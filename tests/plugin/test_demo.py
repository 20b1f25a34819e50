#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""./demo from outside, as TAP: a photograph in, a PNG out; what cannot be done gets a sentence."""
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import traceback
import zlib

ROOT = pathlib.Path(os.environ["COLORIZE_SOURCE_ROOT"])
SAMPLE = ROOT / "data" / "sample-photo.jpg"
SECONDS = 300


def demo(*arguments, **environment):
    settings = {"COLORIZE_BUILD": os.environ["COLORIZE_BUILD_ROOT"], **environment}
    return subprocess.run([ROOT / "demo", *arguments], env={**os.environ, **settings}, capture_output=True,
                          text=True, timeout=SECONDS)


def expect(condition, words):
    if not condition:
        raise AssertionError(words)


def expect_sentence(run, *words):
    expect(run.returncode == 1, f"exit status {run.returncode}, expected 1: {run.stderr}")
    for word in words:
        expect(word in run.stderr, f"'{word}' is not in: {run.stderr}")
    expect("Traceback" not in run.stderr and run.stderr.startswith("demo: "), f"no sentence: {run.stderr}")


def read_png(path):
    """(width, height, color type, pixels); GIMP stamps times into other chunks."""
    data = path.read_bytes()
    expect(data[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG")
    at, packed, header = 8, b"", None
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 8]
        body = data[at + 8:at + 8 + length]
        header = body if kind == b"IHDR" else header
        packed += body if kind == b"IDAT" else b""
        at += length + 12
    width, height, _, color_type = struct.unpack(">IIBB", header[:10])
    return width, height, color_type, zlib.decompress(packed)


def jpeg_size(path):
    data, at = path.read_bytes(), 2
    while not 0xC0 <= data[at + 1] <= 0xC3:
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    height, width = struct.unpack(">HH", data[at + 5:at + 9])
    return width, height


def gives_the_same_colors_twice(folder):
    results = []
    for name in ("a \u00fc.png", "b.png"):
        run = demo(SAMPLE, folder / name)
        expect(run.returncode == 0, run.stderr)
        expect(str(folder / name) in run.stdout, f"the result's path is not in: {run.stdout}")
        for part in ("start", "load", "colorize", "save"):
            expect(part in run.stdout, f"no time of '{part}' in: {run.stdout}")
        results.append(read_png(folder / name))
    expect(results[0][:2] == jpeg_size(SAMPLE), f"size {results[0][:2]}, expected {jpeg_size(SAMPLE)}")
    expect(results[0][2] == 2, f"color type {results[0][2]}, expected 2 (RGB)")
    expect(results[0][3] == results[1][3], "the two results differ")


def refuses_what_is_not_there(folder):
    expect_sentence(demo(folder / "none.jpg"), "none.jpg")
    expect_sentence(demo(folder), "not a file")


def refuses_what_is_no_photograph(folder):
    (folder / "text.jpg").write_text("This is no photograph.\n")
    expect_sentence(demo(folder / "text.jpg", folder / "out.png"), "text.jpg")


def refuses_a_truncated_photograph(folder):
    (folder / "half.jpg").write_bytes(SAMPLE.read_bytes()[:40000])
    expect_sentence(demo(folder / "half.jpg", folder / "out.png"), "half.jpg", "truncated")
    expect(not (folder / "out.png").exists(), "there is a result")


def refuses_an_output_that_cannot_be_written(folder):
    expect_sentence(demo(SAMPLE, folder / "none" / "out.png"), "none")
    expect_sentence(demo(SAMPLE, folder / "out.jpg"), "out.jpg", ".png")


def refuses_broken_weights(folder):
    whole = pathlib.Path(os.environ["COLORIZE_WEIGHTS"]).read_bytes()
    weights = folder / "half.safetensors"
    weights.write_bytes(whole[:100000])
    expect_sentence(demo(SAMPLE, folder / "out.png", COLORIZE_WEIGHTS=str(weights)), "half.safetensors")


def main():
    cases = [gives_the_same_colors_twice, refuses_what_is_not_there, refuses_what_is_no_photograph,
             refuses_a_truncated_photograph, refuses_an_output_that_cannot_be_written, refuses_broken_weights]
    print(f"1..{len(cases)}", flush=True)
    for number, case in enumerate(cases, 1):
        verdict = "ok"
        with tempfile.TemporaryDirectory() as folder:
            try:
                case(pathlib.Path(folder))
            except Exception as error:  # each case is judged, whatever went wrong in it
                verdict = "not ok"
                if not isinstance(error, AssertionError):
                    traceback.print_exc(file=sys.stderr)
                print("# " + str(error).strip().replace("\n", "\n# "))
        print(f"{verdict} {number} /demo/{case.__name__}", flush=True)


if __name__ == "__main__":
    main()
