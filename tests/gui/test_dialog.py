#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""The dialog in the whole of GIMP, as TAP: opened by its menu entry, driven through AT-SPI (and a pointer where
that is the point), its results compared with the procedure's. Debian's own Python, for it has the bindings."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from gimp_window import Gimp, missing

PATIENCE = 60
WIDTH, HEIGHT = 240, 180

# A photograph of sorts; `then` sees image and layer.
PHOTOGRAPH = f"""(let* ((image (car (gimp-image-new {WIDTH} {HEIGHT} RGB)))
         (layer (car (gimp-layer-new image {WIDTH} {HEIGHT} RGB-IMAGE "photograph" 100 LAYER-MODE-NORMAL))))
    (gimp-image-insert-layer image layer 0 0)
    (gimp-context-set-foreground '(20 20 20))
    (gimp-context-set-background '(230 230 230))
    (gimp-drawable-edit-gradient-fill layer GRADIENT-LINEAR 0 FALSE 1 0 FALSE 0 0 {WIDTH} {HEIGHT})
    (gimp-image-clean-all image)
    (gimp-image-undo-disable image)
    (gimp-image-undo-enable image)
    (gimp-display-new image)
    (list image layer))"""

POINTS = [(20, 20), (60, 90), (120, 150), (180, 40), (220, 170)]


def expect(condition, words):
    if not condition:
        raise AssertionError(words)


def wait_for(what, find, seconds=PATIENCE):
    """The first true answer of find()."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = find()
        except Atspi_error:  # a widget that has gone meanwhile
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


# ---- assistive technology ---------------------------------------------------------------------------

def walk(node):
    yield node
    for i in range(node.get_child_count()):
        child = node.get_child_at_index(i)
        if child:
            yield from walk(child)


def application(name):
    desktop = Atspi.get_desktop(0)
    for i in range(desktop.get_child_count()):
        child = desktop.get_child_at_index(i)
        if child and child.get_name() == name and child.get_child_count():
            return child
    return None


def named(root, name, *roles):
    for node in walk(root):
        if node.get_name() == name and (not roles or node.get_role_name() in roles):
            return node
    return None


def press(node):
    Atspi.Action.do_action(node, 0)


class Dialog:
    """The dialog, opened from Filters, Colors."""

    def __init__(self, gimp, colored=True):
        self.gimp = gimp
        entry = wait_for("the menu entry", self.find_entry)
        press(entry)
        self.root = wait_for("the dialog", lambda: application("colorize-photo"))
        if colored:
            wait_for("the colors", lambda: any((node.get_name() or "").startswith("Colored in")
                                               for node in walk(self.root)))

    @staticmethod
    def find_entry():
        gimp = application("gimp-2.10")
        for node in walk(gimp) if gimp else []:
            if node.get_role_name() == "menu item" and node.get_name() == "Colorize…" \
                    and node.get_parent().get_name() == "Colors" \
                    and node.get_parent().get_parent().get_name() == "Filters":
                return node if node.get_state_set().contains(Atspi.StateType.SENSITIVE) else None
        return None

    def press(self, name):
        press(wait_for(f"the button {name}", lambda: named(self.root, name, "push button", "toggle button")))

    def set(self, name, value):
        wait_for(name, lambda: named(self.root, name, "slider")).set_current_value(value)

    def get(self, name):
        return wait_for(name, lambda: named(self.root, name, "slider")).get_current_value()

    def choose(self, name, item):
        combo = wait_for(name, lambda: named(self.root, name, "combo box"))
        press(wait_for(item, lambda: named(combo, item, "menu item")))

    def gone(self):
        wait_for("the dialog's end", lambda: application("colorize-photo") is None)

    def click_photograph(self, x, y):
        """With the pointer; x, y are 0 to 1 of the preview, which the photograph fills in its middle."""
        canvas = named(self.root, "Preview", "canvas")
        box = canvas.get_extents(Atspi.CoordType.SCREEN)
        left = box.x + (box.width - WIDTH) // 2 + int(x * WIDTH)
        top = box.y + (box.height - HEIGHT) // 2 + int(y * HEIGHT)
        subprocess.run(["xdotool", "mousemove", str(left), str(top), "click", "1"], env=self.gimp.environment, check=True)


# ---- GIMP ---------------------------------------------------------------------------------------------

def photograph(gimp):
    return gimp.ask(PHOTOGRAPH).strip("()").split()


def colors(gimp, drawable):
    """Numbers of some pixels."""
    reads = " ".join(f"(vector->list (cadr (gimp-drawable-get-pixel {drawable} {x} {y})))" for x, y in POINTS)
    return [int(number) for number in gimp.ask(f"(append {reads})").strip("()").split()]


def layers(gimp, image):
    """[(id, name, visible)], top first."""
    text = gimp.ask(f"""(map (lambda (id) (list id (car (gimp-item-get-name id)) (car (gimp-item-get-visible id))))
                             (vector->list (cadr (gimp-image-get-layers {image}))))""")
    found = []
    for part in text.strip("()").split(") ("):
        number, rest = part.split(" ", 1)
        name, visible = rest.rsplit(" ", 1)
        found.append((int(number), name.strip('"'), visible == "1"))
    return found


def expect_near(found, expected, words, bound=1):
    worst = max(abs(a - b) for a, b in zip(found, expected))
    expect(len(found) == len(expected) and worst <= bound, f"{words}: {found}, expected {expected}")


def direct(gimp, image, layer, strength=1.0, output=0, hints=-1):
    return gimp.ask(f'(car (plug-in-colorize-photo RUN-NONINTERACTIVE {image} {layer} {strength} 0.0 {output} {hints} 0.3 '
                    '0 0 "auto" ""))')


def undo(gimp, image, until):
    gimp.press_undo()
    return wait_for("the undo", lambda: len(layers(gimp, image)) == until, 20)


# ---- cases --------------------------------------------------------------------------------------------

def strength_and_outputs_do_what_the_procedure_does(folder, bus):
    gimp = Gimp(folder, bus)
    try:
        image, layer = photograph(gimp)
        other, other_layer = photograph(gimp)
        gray = colors(gimp, layer)
        dialog = Dialog(gimp)
        dialog.set("Strength", 1.6)
        dialog.press("Colorize")
        dialog.gone()
        # GIMP's newest display is the other image's: that is what its menu acts on.
        stack = wait_for("a color layer", lambda: len(layers(gimp, other)) == 2 and layers(gimp, other))
        expect_near(colors(gimp, stack[0][0]), colors(gimp, direct(gimp, image, layer, 1.6)), "new layer")
        undo(gimp, other, 1)
        dialog = Dialog(gimp)
        expect(abs(dialog.get("Strength") - 1.6) < 1e-6, "the last strength is forgotten")
        dialog.choose("Output", "Change this layer")
        dialog.press("Colorize")
        dialog.gone()
        wait_for("changed pixels", lambda: colors(gimp, other_layer) != gray)
        direct(gimp, image, layer, 1.6, 1)
        expect_near(colors(gimp, other_layer), colors(gimp, layer), "in place")
    finally:
        gimp.close()
    # The same profile in a new GIMP.
    gimp = Gimp(folder, bus)
    try:
        photograph(gimp)
        dialog = Dialog(gimp)
        expect(abs(dialog.get("Strength") - 1.6) < 1e-6, f"after a restart the strength is {dialog.get('Strength')}")
        dialog.press("Reset")
        expect(abs(dialog.get("Strength") - 1) < 1e-6, "Reset leaves the strength")
    finally:
        gimp.close()


def a_click_gives_a_hint_that_comes_back(folder, bus):
    gimp = Gimp(folder, bus)
    try:
        image, layer = photograph(gimp)
        dialog = Dialog(gimp)
        dialog.click_photograph(0.5, 0.4)
        press(wait_for("a red swatch", lambda: named(dialog.root, "red", "push button")))
        time.sleep(0.5)
        dialog.press("Colorize")
        dialog.gone()
        stack = wait_for("the layers", lambda: len(layers(gimp, image)) == 3 and layers(gimp, image))
        expect([name for _, name, _ in stack] == ["Color hints", "Colorize", "photograph"], stack)
        expect([visible for _, _, visible in stack] == [False, True, True], stack)
        hints, color = stack[0][0], stack[1][0]
        r, _, b = colors_at(gimp, color, 0.5, 0.4)
        expect(r > b + 40, f"at the dab red is {r}, blue {b}")
        again = direct(gimp, image, layer, hints=hints)
        expect_near(colors(gimp, again), colors(gimp, color), "through the layer", 3)
        gimp.ask(f"(gimp-image-remove-layer {image} {again})")
        gimp.ask(f"(gimp-image-set-active-layer {image} {layer})")
        dialog = Dialog(gimp)
        dialog.press("Remove All Dabs")  # can be pressed: they are there again
        dialog.press("Colorize")
        dialog.gone()
        stack = wait_for("no hints", lambda: all(name != "Color hints" for _, name, _ in layers(gimp, image)))
    finally:
        gimp.close()


def a_layer_painted_on_meanwhile_is_followed(folder, bus):
    gimp = Gimp(folder, bus)
    try:
        image, layer = photograph(gimp)
        dialog = Dialog(gimp)
        dialog.press("New Hint Layer")
        stack = wait_for("the layer", lambda: len(layers(gimp, image)) == 2 and layers(gimp, image))
        hints = stack[0][0]
        expect(gimp.ask(f"(car (gimp-image-get-active-layer {image}))") == str(hints), "the layer is not active")
        remove = named(dialog.root, "Remove All Dabs", "push button")
        expect(not remove.get_state_set().contains(Atspi.StateType.SENSITIVE), "there are dabs before any were painted")
        # This GIMP has no brushes (--no-data): a stroke of a selection's shape.
        gimp.ask(f"""(begin (gimp-context-set-foreground '(190 60 60))
                     (gimp-image-select-ellipse {image} CHANNEL-OP-REPLACE 112 74 16 12)
                     (gimp-drawable-edit-fill {hints} FILL-FOREGROUND) (gimp-selection-none {image}))""")
        wait_for("dabs of the brush", lambda: remove.get_state_set().contains(Atspi.StateType.SENSITIVE), 10)
        dialog.press("Colorize")
        dialog.gone()
        stack = wait_for("the layers", lambda: len(layers(gimp, image)) == 3 and layers(gimp, image))
        expect([(name, visible) for _, name, visible in stack]
               == [("Color hints", False), ("Colorize", True), ("photograph", True)], stack)
        color = stack[1][0]
        r, _, b = colors_at(gimp, color, 0.5, 80 / HEIGHT)
        expect(r > b + 30, f"under the brush red is {r}, blue {b}")
        # With the layer of hints active the photograph is meant all the same.
        gimp.ask(f"(gimp-image-set-active-layer {image} {hints})")
        dialog = Dialog(gimp)
        dialog.press("Colorize")
        dialog.gone()
        stack = wait_for("another color layer", lambda: len(layers(gimp, image)) == 4 and layers(gimp, image))
        expect(stack[1][1].startswith("Colorize") and stack[1][0] != color, stack)
        expect_near(colors(gimp, stack[1][0]), colors(gimp, color), "again", 3)
    finally:
        gimp.close()


def colors_at(gimp, drawable, x, y):
    text = gimp.ask(f"(vector->list (cadr (gimp-drawable-get-pixel {drawable} {int(x * WIDTH)} {int(y * HEIGHT)})))")
    return [int(number) for number in text.strip("()").split()][:3]


def one_undo_takes_color_and_hints_back(folder, bus):
    gimp = Gimp(folder, bus)
    try:
        image, layer = photograph(gimp)
        gray = colors(gimp, layer)
        dialog = Dialog(gimp)
        dialog.click_photograph(0.6, 0.5)
        press(wait_for("a blue swatch", lambda: named(dialog.root, "blue", "push button")))
        dialog.press("Colorize")
        dialog.gone()
        wait_for("the layers", lambda: len(layers(gimp, image)) == 3)
        undo(gimp, image, 1)
        expect(colors(gimp, layer) == gray, "the photograph is another one")
        expect(gimp.ask(f"(car (gimp-image-is-dirty {image}))") == "0", "the image is dirty")
    finally:
        gimp.close()


def cancel_and_escape_leave_the_image_alone(folder, bus):
    gimp = Gimp(folder, bus)
    try:
        image, layer = photograph(gimp)
        gray = colors(gimp, layer)
        for way in ("Cancel", "Escape"):
            dialog = Dialog(gimp)
            dialog.click_photograph(0.5, 0.5)
            press(wait_for("a swatch", lambda: named(dialog.root, "red", "push button")))
            if way == "Cancel":
                dialog.press("Cancel")
            else:
                window = subprocess.run(["xdotool", "search", "--name", "^Colorize"], env=gimp.environment, text=True,
                                        capture_output=True).stdout.split()[-1]
                time.sleep(0.5)  # the popover would take the key
                subprocess.run(["xdotool", "windowfocus", "--sync", window, "key", "Escape"], env=gimp.environment)
            dialog.gone()
            expect(len(layers(gimp, image)) == 1 and colors(gimp, layer) == gray, f"after {way} the image has changed")
            expect(gimp.ask(f"(car (gimp-image-is-dirty {image}))") == "0", f"after {way} the image is dirty")
    finally:
        gimp.close()


def a_layer_that_vanishes_is_told(folder, bus):
    gimp = Gimp(folder, bus)
    try:
        image, layer = photograph(gimp)
        dialog = Dialog(gimp)
        gimp.ask(f"(gimp-image-remove-layer {image} {layer})")
        dialog.press("Colorize")
        wait_for("a sentence", lambda: any("close the dialog" in (node.get_name() or "") for node in walk(dialog.root)))
        dialog.press("Cancel")
        dialog.gone()
        expect(gimp.ask("(+ 1 1)") == "2", "GIMP does not answer")
    finally:
        gimp.close()


def plugin_processes(gimp):
    """Of this GIMP's display only."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and "colorize-photo" in os.readlink(entry / "exe") \
                    and f"DISPLAY={gimp.environment['DISPLAY']}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def a_killed_gimp_leaves_no_process(folder, bus):
    for colored in (True, False):
        gimp = Gimp(folder, bus)
        try:
            photograph(gimp)
            Dialog(gimp, colored)
            expect(plugin_processes(gimp), "there is no process to look for")
            os.kill(gimp.gimp.pid, signal.SIGKILL)
            wait_for("the plug-in's end", lambda: not plugin_processes(gimp), 5)
        finally:
            gimp.close()


def without_an_image_the_entry_is_gray(folder, bus):
    gimp = Gimp(folder, bus)
    try:
        gimp.ask("(+ 1 1)")
        wait_for("GIMP's menus", lambda: application("gimp-2.10"))
        time.sleep(1)
        expect(Dialog.find_entry() is None, "the entry can be chosen")
        photograph(gimp)
        wait_for("the entry", Dialog.find_entry)
    finally:
        gimp.close()


def run_cases(cases, bus):
    print(f"1..{len(cases)}", flush=True)
    for number, case in enumerate(cases, 1):
        verdict = "ok"
        with tempfile.TemporaryDirectory() as folder:
            try:
                case(pathlib.Path(folder) / "gimp", bus)
            except Exception as error:  # each case is judged, whatever went wrong in it
                verdict = "not ok"
                if not isinstance(error, AssertionError):
                    traceback.print_exc(file=sys.stderr)
                print("# " + str(error).strip().replace("\n", "\n# "))
        print(f"{verdict} {number} /gui/dialog/{case.__name__}", flush=True)


def main():
    global Atspi, Atspi_error
    if reason := missing("dbus-daemon"):
        print(f"1..0 # SKIP {reason}")
        return
    bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--print-address"], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True, start_new_session=True)
    try:
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().strip()
        try:
            import gi
            gi.require_version("Atspi", "2.0")
            from gi.repository import Atspi, GLib
            Atspi_error = GLib.Error
        except (ImportError, ValueError) as error:
            print(f"1..0 # SKIP Python's AT-SPI: {error}")
            return
        cases = [strength_and_outputs_do_what_the_procedure_does, a_click_gives_a_hint_that_comes_back,
                 a_layer_painted_on_meanwhile_is_followed, one_undo_takes_color_and_hints_back, cancel_and_escape_leave_the_image_alone,
                 a_layer_that_vanishes_is_told, a_killed_gimp_leaves_no_process, without_an_image_the_entry_is_gray]
        chosen = [case for case in cases if not sys.argv[1:] or case.__name__ in sys.argv[1:]]
        run_cases(chosen, os.environ["DBUS_SESSION_BUS_ADDRESS"])
    finally:
        os.killpg(bus.pid, signal.SIGKILL)
        bus.wait()


if __name__ == "__main__":
    main()
