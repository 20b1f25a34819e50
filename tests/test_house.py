#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Holds the sources to the house's rules (HACKING.md) and prints TAP:  test_house.py [ROOT]

What is over a limit stands in tests/house-exceptions.txt with its size, which may only shrink.
"""
import pathlib
import re
import subprocess
import sys

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
SPDX = "SPDX-License-Identifier: LGPL-3.0-or-later"
C_SUFFIXES = (".c", ".h", ".cu", ".def")
SPDX_SUFFIXES = C_SUFFIXES + (".py", ".sh", ".scm")
SKIPPED_FOLDERS = ("build", ".", "runs", "sets", "out")

# Which rooms a room may include from, beside itself, and which libraries it may not know.
# plugin -> ui -> engine <- training; engine knows nobody.
ROOMS = {
    "engine": ([], r"libgimp|gtk/|gdk/|gio/|glib-object|vips|archive\.h|cairo|gegl|babl"),
    "training": (["engine"], r"libgimp|gtk/|gdk/|gegl|babl"),
    "ui": (["engine"], r"libgimp|gegl|babl|vips"),
    "plugin": (["engine", "ui"], r"libgimpui|libgimp/gimpui|vips|dnnl"),
}
# The engine's own rooms: "a/b.h" of another room only where an arrow leads (HACKING.md, The map).
ENGINE_ROOMS = {
    "base": [],
    "graph": ["base"],
    "plan": ["base", "graph", "backend"],
    "backend": ["base"],
    "model": ["base", "graph"],
    "color": ["base"],
    "colorizer": ["base", "color", "graph", "model", "plan"],
}
# A module links nothing of the engine: these headers hold all that it may know.
MODULE_HEADERS = ("cz/backend.h", "cz/node.h", "cz/tensor.h", "cz/error.h")
PROMISES = re.compile(r"\b(TODO|FIXME|XXX)\b")


def list_sources(root):
    try:
        names = subprocess.run(["git", "-C", root, "ls-files", "-z"], check=True, capture_output=True,
                               text=True).stdout.split("\0")
        files = [root / name for name in names if name]
    except (OSError, subprocess.CalledProcessError):
        files = [path for path in root.rglob("*")
                 if not path.relative_to(root).parts[0].startswith(SKIPPED_FOLDERS)]
    return sorted(path for path in files if path.is_file())


def read(path):
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def functions(lines):
    """(name, lines) of each function: from an opening brace in the first column to the closing one."""
    start, name = None, "?"
    for number, line in enumerate(lines):
        if start is None:
            found = re.match(r"[A-Za-z_].*?\b(\w+)\(", line)
            name = found[1] if found else name
            if line == "{":
                start = number
        elif line == "}":
            yield name, number - start + 1
            start = None


def read_exceptions(path):
    if not path.exists():
        return {}
    rows = (line.split() for line in read(path) if line.strip() and not line.startswith("#"))
    return {row[0]: int(row[1]) for row in rows}


def measure(root, files):
    """What is over its limit: {"path" or "path:function": (lines, limit)}"""
    over = {}
    for path in files:
        lines, name = read(path), str(path.relative_to(root))
        if len(lines) > MAX_FILE_LINES:
            over[name] = len(lines), MAX_FILE_LINES
        for function, length in functions(lines):
            if length > MAX_FUNCTION_LINES:
                over[f"{name}:{function}"] = length, MAX_FUNCTION_LINES
    return over


def check_sizes(root, files):
    allowed = read_exceptions(root / "tests" / "house-exceptions.txt")
    over = measure(root, files)
    for what, (length, limit) in over.items():
        if length > allowed.get(what, limit):
            yield f"{what} has {length} lines, allowed are {allowed.get(what, limit)}"
    for what, entry in allowed.items():
        if what not in over:
            yield f"{what} is within its limit now: take its entry out of house-exceptions.txt"
        elif over[what][0] < entry:
            yield f"{what} has {over[what][0]} lines now: lower its entry of {entry}"


def check_spdx(root, files):
    for path in files:
        if not any(SPDX in line for line in read(path)[:3]):
            yield f"{path.relative_to(root)} has no line '{SPDX}' at its top"


def list_includes(path):
    for line in read(path):
        found = re.match(r'\s*#\s*include\s*[<"]([^>"]+)', line)
        if found:
            yield re.sub(r"^(\.\.?/)+", "", found[1])


def room_forbids(room, target):
    neighbours, forbidden = ROOMS[room]
    first = target.split("/")[0]
    strangers = [other for other in ROOMS if other != room and other not in neighbours]
    # Others see of the engine what is in engine/include.
    private = room != "engine" and (first == "engine" or "/" in target and first in ENGINE_ROOMS)
    return first in strangers or re.search(forbidden, target) or private


def engine_forbids(parts, target):
    """parts: of the including file's path below engine/"""
    first = target.split("/")[0]
    if parts[0] == "backend" and len(parts) > 2 and parts[1] != "reference":
        return first in ENGINE_ROOMS or first == "cz" and target not in MODULE_HEADERS
    return first in ENGINE_ROOMS and parts[0] != first and first not in ENGINE_ROOMS.get(parts[0], [])


def check_includes(root, files):
    for path in files:
        parts = path.relative_to(root).parts
        for target in list_includes(path):
            if (parts[0] in ROOMS and room_forbids(parts[0], target)
                    or parts[0] == "engine" and engine_forbids(parts[1:], target)):
                yield f"{path.relative_to(root)} may not include {target}"


def check_promises(root, files):
    for path in files:
        for number, line in enumerate(read(path), 1):
            if PROMISES.search(line):
                yield f"{path.relative_to(root)}:{number}: {line.strip()}"


def main(root):
    files = list_sources(root)
    c_files = [path for path in files if path.suffix in C_SUFFIXES]
    signed = [path for path in files if path.suffix in SPDX_SUFFIXES or path.name == "meson.build"]
    claims = [
        ("files_and_functions_are_short", check_sizes(root, c_files)),
        ("every_source_names_its_licence", check_spdx(root, signed)),
        ("rooms_include_only_what_they_may", check_includes(root, c_files)),
        ("code_makes_no_promises", check_promises(root, c_files)),
    ]
    print(f"1..{len(claims)}")
    for number, (claim, faults) in enumerate(claims, 1):
        faults = list(faults) if c_files else ["no sources were found"]
        for fault in faults:
            print(f"# {fault}")
        print(f"{'not ok' if faults else 'ok'} {number} /house/{claim}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
