#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""One undo in GIMP takes everything back, as TAP. GIMP 2.10 has no undo for scripts, so this runs its window
under Xvfb, presses Ctrl+Z with xdotool, and asks GIMP's Script-Fu server what is left."""
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ["COLORIZE_BUILD_ROOT"])
GIMP_PLUGINS = pathlib.Path("/usr/lib/gimp/2.0/plug-ins")
START_SECONDS, ANSWER_SECONDS, UNDO_SECONDS = 120, 120, 60

# (name, image type, output)
CASES = [(f"{mode}/{name}", mode.upper(), output)
         for mode in ("rgb", "gray") for output, name in enumerate(("new_layer", "in_place"))]


class Gimp:
    """A GIMP with a window on a display of its own, and its Script-Fu server."""

    def __init__(self, folder):
        self.processes = []
        read_end, write_end = os.pipe()
        self.start(["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
                   pass_fds=[write_end])
        os.close(write_end)
        with os.fdopen(read_end) as answer:
            display = answer.readline().strip()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        plugins = folder / "plug-ins"
        plugins.mkdir()
        (plugins / "script-fu").symlink_to(GIMP_PLUGINS / "script-fu")
        (folder / "gimprc").write_text(f'(plug-in-path "{BUILD}/plugin:{plugins}")\n')
        self.environment = {**os.environ, "DISPLAY": f":{display}", "GIMP2_DIRECTORY": str(folder / "profile")}
        self.start(["gimp-2.10", "-n", "-s", "-d", "-f", "-g", folder / "gimprc", "-b",
                    f'(plug-in-script-fu-server RUN-NONINTERACTIVE "127.0.0.1" {self.port} "")'],
                   env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self, command, **options):
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options))

    def close(self):
        for process in reversed(self.processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def connect(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                return socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS)
            except OSError:
                time.sleep(0.3)
        raise AssertionError(f"GIMP's Script-Fu server did not answer within {START_SECONDS} s")

    def ask(self, expression):
        """The value of an expression, as Script-Fu prints it."""
        body = expression.encode()
        with self.connect() as server:
            server.sendall(b"G" + struct.pack(">H", len(body)) + body)
            answer = server.makefile("rb")
            header = answer.read(4)
            text = answer.read(struct.unpack(">H", header[2:])[0]).decode()
        if header[1]:
            raise AssertionError(text)
        return text.strip()

    def press_undo(self):
        found = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", "GIMP|GNU Image"],
                               env=self.environment, capture_output=True, text=True, check=False)
        for window in found.stdout.split():
            subprocess.run(["xdotool", "windowfocus", window, "key", "--window", window, "ctrl+z"],
                           env=self.environment, capture_output=True, check=False)


MAKE = """(let* ((image (car (gimp-image-new 64 48 {mode})))
                 (layer (car (gimp-layer-new image 64 48 {mode}-IMAGE "photograph" 100 LAYER-MODE-NORMAL))))
            (gimp-image-insert-layer image layer 0 0)
            (gimp-context-set-foreground '(20 20 20))
            (gimp-context-set-background '(230 230 230))
            (gimp-drawable-edit-gradient-fill layer GRADIENT-LINEAR 0 FALSE 1 0 TRUE 0 0 64 48)
            (gimp-image-clean-all image)
            (gimp-image-undo-disable image)
            (gimp-image-undo-enable image)
            (gimp-display-new image)
            (list image layer))"""

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
    missing = [name for name in ("Xvfb", "xdotool", "gimp-2.10") if not shutil.which(name)]
    if missing:
        print(f"1..0 # SKIP not installed: {', '.join(missing)}")
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
