#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""What is built links none of NVIDIA's libraries, and serves where some are missing.

    test_links.py FILE...    programs and modules
"""
import os
import subprocess
import sys

FOREIGN = ("libcuda", "libcudnn", "libcublas", "libnccl", "libnvrtc", "libcudart", "libnvidia")


def main(files):
    print(f"1..{len(files)}")
    failed = False
    for number, file in enumerate(files, 1):
        name = os.path.basename(file)
        if not os.path.exists(file):
            print(f"ok {number} {name} # SKIP it is not built")
            continue
        done = subprocess.run(["ldd", file], stdout=subprocess.PIPE, text=True, check=False)
        lines = [line.strip() for line in done.stdout.splitlines()]
        bad = [line for line in lines if line.startswith(FOREIGN) or "not found" in line]
        good = done.returncode == 0 and "libc.so" in done.stdout and not bad
        failed |= not good
        print("ok" if good else "not ok", number, name, "links nothing of NVIDIA's")
        for line in bad:
            print("#", line)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
