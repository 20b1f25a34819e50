#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Holds the message catalogues to the sources and prints TAP:  test_po.py ROOT"""
import ast
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1])
PO = ROOT / "po"
LANGUAGES = ["de", "es", "fr", "it", "ja", "nl", "pl", "pt_BR", "ru", "zh_CN"]
MARKED = re.compile(r'\bN?_\(\s*"|translatable="yes"')


def run(*command):
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()


def potfiles():
    return [line for line in (PO / "POTFILES").read_text().splitlines() if line and not line.startswith("#")]


def entries(path):
    """(msgid, msgstr) of a catalogue without plurals."""
    found, key, entry = [], None, {}
    for line in path.read_text(encoding="utf-8").splitlines() + [""]:
        word = re.match(r'(msgid|msgstr) (".*")$', line)
        if word:
            key = word[1]
            entry[key] = ast.literal_eval(word[2])
        elif line.startswith('"') and key:
            entry[key] += ast.literal_eval(line)
        elif not line and len(entry) == 2:
            found.append((entry["msgid"], entry["msgstr"]))
            entry, key = {}, None
    return [pair for pair in found if pair[0]]


def listed(folder):
    return {str(path.relative_to(ROOT)) for suffix in ("*.c", "*.ui") for path in (ROOT / folder).rglob(suffix)
            if MARKED.search(path.read_text(encoding="utf-8"))}


def potfiles_names_every_file_with_a_marked_string(pot):
    marked = listed("engine") | listed("ui") | listed("plugin")
    return [f"only in POTFILES or only in the sources: {name}" for name in sorted(marked ^ set(potfiles()))]


def linguas_names_every_catalogue(pot):
    there = sorted(path.stem for path in PO.glob("*.po"))
    named = sorted((PO / "LINGUAS").read_text().split())
    return [] if there == named == LANGUAGES else [f"catalogues {there}, LINGUAS {named}, promised {LANGUAGES}"]


def every_message_is_translated(pot):
    faults = []
    for language in LANGUAGES:
        status, words = run("msgcmp", PO / f"{language}.po", pot)
        if status:
            faults.append(f"{language}: {words}")
    return faults


def no_message_is_left_over(pot):
    wanted = {msgid for msgid, _ in entries(pot)}
    return [f"{language}: {msgid!r} is in no source any more" for language in LANGUAGES
            for msgid, _ in entries(PO / f"{language}.po") if msgid not in wanted]


def formats_mnemonics_and_headers_are_right(pot):
    faults = []
    for language in LANGUAGES:
        status, words = run("msgfmt", "--check", "--check-accelerators=_", "-o", "/dev/null", PO / f"{language}.po")
        if status or "warning" in words:
            faults.append(f"{language}: {words}")
    return faults


def an_ellipsis_stays_one(pot):
    faults = []
    for language in LANGUAGES:
        for msgid, msgstr in entries(PO / f"{language}.po"):
            # GIMP's own Japanese catalogue writes three full stops.
            there = "…" in msgstr or (language == "ja" and "..." in msgstr)
            if ("…" in msgid) != there:
                faults.append(f"{language}: {msgid!r}: {msgstr!r}")
    return faults


def the_menu_path_stays_a_path(pot):
    faults = []
    for language in LANGUAGES:
        path = dict(entries(PO / f"{language}.po")).get("<Image>/Filters/Colors", "")
        if not path.startswith("<Image>/") or path.count("/") != 2 or path.endswith("/"):
            faults.append(f"{language}: {path!r}")
    return faults


CLAIMS = [potfiles_names_every_file_with_a_marked_string, linguas_names_every_catalogue, every_message_is_translated,
          no_message_is_left_over, formats_mnemonics_and_headers_are_right, an_ellipsis_stays_one,
          the_menu_path_stays_a_path]


def main():
    if not shutil.which("xgettext"):
        print("1..0 # SKIP gettext is not installed")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        pot = pathlib.Path(folder) / "colorize-photo.pot"
        status, words = run("xgettext", "--from-code=UTF-8", "--keyword=_", "--keyword=N_", "--files-from=po/POTFILES",
                            "--package-name=colorize-photo", "-o", pot)
        if status:
            print(f"Bail out! {words}")
            return 1
        print(f"1..{len(CLAIMS)}")
        failed = 0
        for number, claim in enumerate(CLAIMS, 1):
            faults = claim(pot)
            failed += bool(faults)
            print(f"{'not ok' if faults else 'ok'} {number} - /po/{claim.__name__}")
            for fault in faults:
                print("# " + fault.replace("\n", "\n# "))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
