# SPDX-License-Identifier: LGPL-3.0-or-later
"""GIMP with its window on a display of its own, asked and told through its Script-Fu server."""
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import time

BUILD = pathlib.Path(os.environ["COLORIZE_BUILD_ROOT"])
GIMP_PLUGINS = pathlib.Path("/usr/lib/gimp/2.0/plug-ins")
START_SECONDS, ANSWER_SECONDS = 120, 300

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


class Gimp:
    """A GIMP with a window on a display of its own, and its Script-Fu server."""

    def __init__(self, folder, bus=""):
        """bus: the address of the one on which assistive technologies find GIMP's menus and the dialog."""
        self.processes = []
        folder.mkdir(exist_ok=True)
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
        if not plugins.exists():
            plugins.mkdir()
            (plugins / "script-fu").symlink_to(GIMP_PLUGINS / "script-fu")
        (folder / "gimprc").write_text(f'(plug-in-path "{BUILD}/plugin:{plugins}")\n')
        self.environment = {**os.environ, "DISPLAY": f":{display}", "GIMP2_DIRECTORY": str(folder / "profile")}
        self.environment.pop("DBUS_SESSION_BUS_ADDRESS", None)
        if bus:
            self.environment.update(GTK_MODULES="gail:atk-bridge", DBUS_SESSION_BUS_ADDRESS=bus)
        self.gimp = self.start(
            ["gimp-2.10", "-n", "-s", "-d", "-f", "-g", folder / "gimprc", "-b",
             f'(plug-in-script-fu-server RUN-NONINTERACTIVE "127.0.0.1" {self.port} "")'],
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self, command, **options):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        self.processes.append(process)
        return process

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
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


def missing(*programs):
    """A reason to skip, or nothing."""
    absent = [name for name in ("Xvfb", "xdotool", "gimp-2.10", *programs) if not shutil.which(name)]
    return f"not installed: {', '.join(absent)}" if absent else ""
