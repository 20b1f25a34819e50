#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""One undo in GIMP takes everything back, as TAP. GIMP 2.10 has no undo for scripts, so this runs its window
under Xvfb, presses Ctrl+Z with xdotool, and asks GIMP's Script-Fu server what is left."""
import pathlib
import tempfile
import time

from gimp_window import MAKE, Gimp, missing

UNDO_SECONDS = 60

# (name, image type, output)
CASES = [(f"{mode}/{name}", mode.upper(), output)
         for mode in ("rgb", "gray") for output, name in enumerate(("new_layer", "in_place"))]


# Number of layers, base type, dirtiness, pixels of the lowest layer.
STATE = """(let* ((layers (gimp-image-get-layers {image})) (low (aref (cadr layers) (- (car layers) 1))))
             (list (car layers) (car (gimp-image-base-type {image})) (car (gimp-image-is-dirty {image}))
                   (cadr (gimp-drawable-get-pixel low 5 7)) (cadr (gimp-drawable-get-pixel low 50 40))))"""


def undo_takes_all_back(gimp, mode, output):
    image, layer = gimp.ask(MAKE.format(mode=mode)).strip("()").split()
    state = STATE.format(image=image)
    before = gimp.ask(state)
    gimp.ask(f'(plug-in-colorize-photo RUN-NONINTERACTIVE {image} {layer} 1.0 0.0 {output} -1 0.5 0 0 "auto" "")')
    after = gimp.ask(state)
    if after == before:
        raise AssertionError(f"coloring has changed nothing: {after}")
    # One key press is one step: had there been two steps, something of the change would stay.
    gimp.press_undo()
    end = time.monotonic() + UNDO_SECONDS
    while time.monotonic() < end:
        now = gimp.ask(state)
        if now != after:
            break
        time.sleep(0.3)
    if now != before:
        raise AssertionError(f"after one undo: {now}, expected {before}; colored: {after}")
    gimp.ask(f"(gimp-image-clean-all {image})")


def main():
    if reason := missing():
        print(f"1..0 # SKIP {reason}")
        return
    print(f"1..{len(CASES)}", flush=True)
    for number, (name, mode, output) in enumerate(CASES, 1):
        verdict = "ok"
        with tempfile.TemporaryDirectory() as folder:
            gimp = None
            try:
                gimp = Gimp(pathlib.Path(folder))
                undo_takes_all_back(gimp, mode, output)
            except (AssertionError, OSError, ValueError) as error:
                verdict = "not ok"
                print("# " + str(error).replace("\n", "\n# "))
            finally:
                if gimp:
                    gimp.close()
        print(f"{verdict} {number} /plugin/undo/one_step_takes_all_back/{name}", flush=True)


if __name__ == "__main__":
    main()
