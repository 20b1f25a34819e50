#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Installs into a temporary folder and prints TAP:  test_install.py system | user

system: this build, below a DESTDIR: every file's place, and that uninstalling leaves nothing.
user: another build with -Duser_install=true, below a HOME of its own; GIMP finds and runs the plug-in there.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(os.environ["COLORIZE_SOURCE_ROOT"])
BUILD = pathlib.Path(os.environ["COLORIZE_BUILD_ROOT"])
LANGUAGES = (ROOT / "po" / "LINGUAS").read_text().split()
GIMP_FOLDER = pathlib.Path(".config/GIMP/2.10")
SCRIPT = """(let* ((image (car (gimp-image-new 64 48 GRAY)))
                   (layer (car (gimp-layer-new image 64 48 GRAY-IMAGE "p" 100 LAYER-MODE-NORMAL))))
  (gimp-image-insert-layer image layer 0 0)
  (gimp-context-set-background '(128 128 128))
  (gimp-drawable-fill layer FILL-BACKGROUND)
  (plug-in-colorize-photo RUN-NONINTERACTIVE image layer 1.0 0.0 0 -1 0.5 0 0 "auto" "")
  (let ((port (open-output-file "@OUT@")))
    (display (car (gimp-procedural-db-proc-exists "script-fu-colorize-photos")) port)
    (display " layers " port) (display (car (gimp-image-get-layers image)) port)
    (close-output-port port)))"""


def expect(condition, words):
    if not condition:
        raise AssertionError(words)


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    expect(done.returncode == 0, f"{command}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def options(build):
    return {row["name"]: row["value"] for row in json.loads(run("meson", "introspect", build, "--buildoptions"))}


def uninstall(build):
    run("ninja", "-C", build, "uninstall")


# ---- system -----------------------------------------------------------------------------------------

def system_places(build):
    chosen = options(build)
    prefix = pathlib.Path(chosen["prefix"].lstrip("/"))
    data = prefix / chosen["datadir"]
    places = {prefix / "lib/gimp/2.0/plug-ins/colorize-photo/colorize-photo",
              data / "gimp/2.0/scripts/colorize-photos.scm",
              data / "doc/colorize-photo/manual.html", data / "doc/colorize-photo/train.html",
              data / "icons/hicolor/scalable/apps/colorize-photo.svg",
              data / "metainfo/org.gimp.GIMP.Plugin.ColorizePhoto.metainfo.xml"}
    places |= {prefix / chosen["localedir"] / name / "LC_MESSAGES/colorize-photo.mo" for name in LANGUAGES}
    if (ROOT / "weights/photo.safetensors").exists():
        places.add(data / "colorize/photo.safetensors")
    if (build / "engine/backend/onednn/libcolorize-onednn.so").exists():
        places.add(prefix / chosen["libdir"] / "colorize/libcolorize-onednn.so")
    if (build / "engine/backend/cudnn/libcolorize-cudnn.so").exists():
        places.add(prefix / chosen["libdir"] / "colorize/libcolorize-cudnn.so")
    if (build / "training/mpi/libcolorize-mpi.so").exists():
        places.add(prefix / chosen["libdir"] / "colorize/libcolorize-mpi.so")
    if (build / "training/colorizer").exists():
        places.add(prefix / chosen["bindir"] / "colorizer")
    return {str(place) for place in places}


def test_system(folder):
    """installs_every_file_in_its_place"""
    target = folder / "target"
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", target)
    try:
        found, wanted = files(target), system_places(BUILD)
        expect(found == wanted, f"missing {sorted(wanted - found)}, unexpected {sorted(found - wanted)}")
        plugin = next(path for path in target.rglob("colorize-photo") if path.is_file())
        expect(os.access(plugin, os.X_OK), "the plug-in is not executable")
    finally:
        uninstall(BUILD)
    expect(not target.exists() or not any(target.rglob("*")), f"left: {sorted(target.rglob('*'))}")


# ---- user -------------------------------------------------------------------------------------------

def run_gimp(home):
    """A GIMP with the user's folder as it is, and of GIMP's own plug-ins script-fu alone."""
    out, plug_ins = home / "out", home / "stock"
    lib = run("pkg-config", "--variable=gimplibdir", "gimp-2.0").strip()
    plug_ins.mkdir()
    (plug_ins / "script-fu").symlink_to(f"{lib}/plug-ins/script-fu")
    gimprc = home / "gimprc"
    gimprc.write_text(f'(plug-in-path "${{gimp_dir}}/plug-ins:{plug_ins}")\n')
    env = dict(os.environ, HOME=str(home), COLORIZE_TIME="1")
    for name in ("COLORIZE_MODULE_DIR", "COLORIZE_WEIGHTS", "GIMP2_DIRECTORY", "XDG_CONFIG_HOME"):
        env.pop(name, None)
    done = subprocess.run(["timeout", "-k", "5", "300", "gimp-console-2.10", "-i", "-d", "-f", "-s", "-g", str(gimprc),
                           "-b", SCRIPT.replace("@OUT@", str(out)), "-b", "(gimp-quit 1)"],
                          env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    words = done.stdout + done.stderr
    expect(out.exists(), f"the procedure did not run: {words[-3000:]}")
    return out.read_text(), words


def test_user(folder):
    """a_user_install_without_root_runs_in_gimp_and_goes_away"""
    home, build = folder / "home", folder / "build"
    home.mkdir()
    env = dict(os.environ, HOME=str(home))
    for name in ("GIMP2_DIRECTORY", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "DESTDIR"):
        env.pop(name, None)
    run("meson", "setup", build, ROOT, "-Duser_install=true", "-Dtraining=disabled", "-Dwerror=false",
        "-Doptimization=1", env=env)
    # What is installed, and no tests.
    targets = [row["name"] for row in json.loads(run("meson", "introspect", build, "--targets")) if row["installed"]]
    run("meson", "compile", "-C", build, *targets, env=env)
    run("meson", "install", "-C", build, "--no-rebuild", env=env)
    plugin = home / GIMP_FOLDER / "plug-ins/colorize-photo"
    for name in ["colorize-photo", "manual.html", "train.html"] + [f"locale/{name}/LC_MESSAGES/colorize-photo.mo" for name in LANGUAGES]:
        expect((plugin / name).exists(), f"{name} is missing: {sorted(files(home))}")
    expect((home / ".local/share/icons/hicolor/scalable/apps/colorize-photo.svg").exists(), "the icon is missing")
    if not (plugin / "photo.safetensors").exists():
        expect(not (ROOT / "weights/photo.safetensors").exists(), "the weights are missing")
        return
    answer, words = run_gimp(home)
    expect(answer == "1 layers 2", f"script there, number of layers: {answer!r}: {words[-3000:]}")
    if (build / "engine/backend/onednn/libcolorize-onednn.so").exists():
        expect("onednn" in words.lower(), f"the module in the user's folder was not used: {words[-3000:]}")
    for name in ("out", "stock", "gimprc"):
        shutil.rmtree(home / name) if (home / name).is_dir() else (home / name).unlink()
    uninstall(build)
    left = {name for name in files(home) if "olorize" in name or "safetensors" in name}
    expect(not left, f"left after uninstalling: {sorted(left)}")


def main():
    test = {"system": test_system, "user": test_user}[sys.argv[1]]
    print("1..1", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            test(pathlib.Path(folder))
        except Exception:  # noqa: a test's fault of any kind is its failure
            print(f"not ok 1 - /install/{test.__doc__}")
            print("# " + traceback.format_exc().replace("\n", "\n# "))
            return 1
    print(f"ok 1 - /install/{test.__doc__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
