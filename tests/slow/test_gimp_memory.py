#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Peak memory of the plug-in's process on 96 megapixels inside GIMP, as TAP."""
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(os.environ["COLORIZE_SOURCE_ROOT"]) / "tests/gui"))
from gimp_window import Gimp, missing  # noqa: E402

WIDTH, HEIGHT, BOUND_MB = 12000, 8000, 1000
PRECISIONS = {"8 bit": "PRECISION-U8-GAMMA", "float": "PRECISION-FLOAT-GAMMA"}

PHOTOGRAPH = """(let* ((image (car (gimp-image-new-with-precision {width} {height} RGB {precision})))
         (layer (car (gimp-layer-new image {width} {height} RGB-IMAGE "photograph" 100 LAYER-MODE-NORMAL))))
    (gimp-image-undo-disable image)
    (gimp-image-insert-layer image layer 0 0)
    (gimp-context-set-foreground '(20 20 20))
    (gimp-context-set-background '(230 230 230))
    (gimp-drawable-edit-gradient-fill layer GRADIENT-LINEAR 0 FALSE 1 0 FALSE 0 0 {width} {height})
    (list image layer))"""
CALL = '(plug-in-colorize-photo {mode} {image} {layer} 1.0 0.0 0 -1 0.5 0 0 "auto" "")'


def peak_kb(display):
    """Of the plug-in's process on this display; 0: there is none."""
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "exe").endswith("/colorize-photo") \
                    and f"DISPLAY={display}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                return int(next(line for line in (entry / "status").read_text().splitlines()
                                if line.startswith("VmHWM")).split()[1])
        except (OSError, StopIteration):
            continue
    return 0


def confirm(gimp, ended):
    """Enter, until the dialog takes it; it waits for the colors by itself."""
    while not ended.is_set():
        found = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", "^Colorize –"], env=gimp.environment,
                               capture_output=True, text=True, check=False).stdout.split()
        if found:
            time.sleep(2)
            subprocess.run(["xdotool", "windowfocus", found[-1], "key", "--window", found[-1], "Return"],
                           env=gimp.environment, capture_output=True, check=False)
        time.sleep(0.5)


def measure(gimp, precision, dialog):
    image, layer = gimp.ask(PHOTOGRAPH.format(width=WIDTH, height=HEIGHT, precision=precision)).strip("()").split()
    ended, peak = threading.Event(), 0
    call = CALL.format(mode="RUN-INTERACTIVE" if dialog else "RUN-NONINTERACTIVE", image=image, layer=layer)
    worker = threading.Thread(target=lambda: (gimp.ask(call), ended.set()))
    worker.start()
    if dialog:
        threading.Thread(target=confirm, args=(gimp, ended), daemon=True).start()
    while not ended.wait(0.01) and worker.is_alive():
        peak = max(peak, peak_kb(gimp.environment["DISPLAY"]))
    layers = int(gimp.ask(f"(car (gimp-image-get-layers {image}))"))
    gimp.ask(f"(gimp-image-delete {image})")
    return peak / 1024, layers


def main():
    if reason := missing():
        print(f"1..0 # SKIP {reason}")
        return
    cases = [(name, dialog) for name in PRECISIONS for dialog in (False, True)]
    print(f"1..{len(cases)}", flush=True)
    for number, (name, dialog) in enumerate(cases, 1):
        with tempfile.TemporaryDirectory() as folder:
            gimp = Gimp(pathlib.Path(folder) / "gimp")
            try:
                peak, layers = measure(gimp, PRECISIONS[name], dialog)
            finally:
                gimp.close()
        good = layers == 2 and 50 < peak < BOUND_MB
        print(f"{'ok' if good else 'not ok'} {number} - 96 MP, {name}, {'dialog' if dialog else 'procedure'}: "
              f"peak {peak:.0f} MB, bound {BOUND_MB} MB, {layers} layers", flush=True)


if __name__ == "__main__":
    main()
