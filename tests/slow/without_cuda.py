#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""A build with -Dcuda=disabled: has no module for GPUs, says so, and works."""
import os
import subprocess
import sys
import tempfile

SOURCE = os.environ["COLORIZE_SOURCE_ROOT"]


def run(*words, **more):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)


def claims(build):
    done = run("meson", "setup", build, SOURCE, "-Dcuda=disabled", "-Dwerror=true")
    yield "it can be set up", done.returncode == 0, done.stdout[-2000:]
    done = run("ninja", "-C", build)
    yield "it can be built", done.returncode == 0, done.stdout[-2000:]
    found = [name for _, _, names in os.walk(build) for name in names if name == "libcolorize-cudnn.so"]
    yield "there is no module for GPUs", not found, str(found)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COLORIZE_")}
    done = run(os.path.join(build, "training", "colorizer"), "inspect", "--devices", env=environment)
    yield ("inspect says that it is not installed",
           done.returncode == 0 and "cuDNN (NVIDIA GPUs): not installed" in done.stdout, done.stdout)
    done = run("meson", "test", "-C", build, "parity", "registry", "libs", "first_use", "step", "run")
    yield "tests of engine and training pass", done.returncode == 0, done.stdout[-2000:]


def main():
    failed = False
    with tempfile.TemporaryDirectory(prefix="colorize-without-cuda-") as folder:
        for number, (what, good, words) in enumerate(claims(os.path.join(folder, "build")), 1):
            failed |= not good
            print("ok" if good else "not ok", number, what, flush=True)
            if not good:
                print("\n".join("# " + line for line in words.splitlines()))
        print("1..5")
    return failed


if __name__ == "__main__":
    sys.exit(main())
