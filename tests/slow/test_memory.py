#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Peak memory of colorizer apply on large photographs:  test_memory.py COLORIZER"""
import os
import struct
import sys
import tempfile
import zlib

# Decoded original and result at their own depth (22 MP: 2 x 66 MB) and two bands, network, libraries.
CASES = [("22 MP, 8 bit", 5760, 3840, 8, 400), ("96 MP, 8 bit", 12000, 8000, 8, 900), ("24 MP, 16 bit", 6000, 4000, 16, 600)]


def write_png(path, width, height, depth):
    """A grey wedge with texture, written row by row."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    packer, n_bytes = zlib.compressobj(1), depth // 8
    rows = [bytes((x * (y + 7) // 16 + 3 * y) % 256 for x in range(width * 3 * n_bytes)) for y in range(8)]
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)))
        for y in range(height):
            data = packer.compress(b"\0" + rows[y // 64 % 8])
            if data:
                out.write(chunk(b"IDAT", data))
        out.write(chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""))


def peak_mb(colorizer, photo, target):
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(colorizer, [colorizer, "apply", "-o", target, photo], os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    return usage.ru_maxrss / 1024 if os.waitstatus_to_exitcode(status) == 0 else None


def main():
    print(f"1..{len(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, width, height, depth, bound) in enumerate(CASES, 1):
            photo, target = f"{folder}/in.png", f"{folder}/out.png"
            write_png(photo, width, height, depth)
            peak = peak_mb(sys.argv[1], photo, target)
            good = peak is not None and peak < bound and os.path.getsize(target) > 0
            print(f"{'ok' if good else 'not ok'} {i} - {name}: peak {peak and round(peak)} MB, bound {bound} MB", flush=True)


if __name__ == "__main__":
    main()
