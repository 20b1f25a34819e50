#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""script-fu-colorize-photos in a headless GIMP, as TAP: folders, patterns, bad files, depth, metadata."""
import hashlib
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import traceback
import zlib

ROOT = pathlib.Path(os.environ["COLORIZE_SOURCE_ROOT"])
BUILD = pathlib.Path(os.environ["COLORIZE_BUILD_ROOT"])
STOCK = "file-glob file-jpeg file-png file-tiff file-webp"
SECONDS = 600
WIDTH, HEIGHT = 64, 48
MODEL = "Kodak Brownie"


def expect(condition, words):
    if not condition:
        raise AssertionError(words)


# ---- photographs ------------------------------------------------------------------------------------

def icc_profile():
    """A wide RGB space with a gamma of 1.8: nothing that GIMP could take for its own."""
    def xyz(*values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(1.8 * 256)) + b"\0\0"
    name = b"test space\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)
    description += bytes(-len(description) % 4)
    tags = [(b"desc", description), (b"cprt", b"text\0\0\0\0none\0\0\0\0"), (b"wtpt", xyz(0.9642, 1, 0.8249)),
            (b"rXYZ", xyz(0.7977, 0.2880, 0)), (b"gXYZ", xyz(0.1352, 0.7119, 0)), (b"bXYZ", xyz(0.0313, 0.0001, 0.8249)),
            (b"rTRC", curve), (b"gTRC", curve), (b"bTRC", curve)]
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for key, data in tags:
        table += key + struct.pack(">II", at + len(body), len(data))
        body += data
    total = at + len(body)
    header = struct.pack(">I4sI4s4s4s", total, b"test", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def gray_levels():
    """16 bit, all of a ramp, and a checkerboard that the network can make something of."""
    return [[(x * 65535 // (WIDTH - 1) + (y // 12 % 2) * 9000 * (x // 8 % 2)) % 65536 for x in range(WIDTH)]
            for y in range(HEIGHT)]


def write_tiff(path):
    pixels = b"".join(struct.pack("<3H", v, v, v) for row in gray_levels() for v in row)
    profile, model = icc_profile(), MODEL.encode() + b"\0"
    extra = struct.pack("<3H", 16, 16, 16) + model + bytes(len(model) % 2) + profile
    extra_at = 8 + len(pixels)
    tags = [(256, 3, 1, WIDTH), (257, 3, 1, HEIGHT), (258, 3, 3, extra_at), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8),
            (272, 2, len(model), extra_at + 6), (277, 3, 1, 3), (278, 3, 1, HEIGHT), (279, 4, 1, len(pixels)),
            (284, 3, 1, 1), (34675, 7, len(profile), extra_at + 6 + len(model) + len(model) % 2)]
    table = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    path.write_bytes(struct.pack("<2sHI", b"II", 42, extra_at + len(extra)) + pixels + extra
                     + struct.pack("<H", len(tags)) + table + struct.pack("<I", 0))


def write_jpeg(path):
    """The sample photograph with the name of a camera."""
    model = MODEL.encode() + b"\0"
    tiff = struct.pack("<2sHIH", b"II", 42, 8, 1) + struct.pack("<HHII", 272, 2, len(model), 26) + bytes(4) + model
    body = b"Exif\0\0" + tiff
    data = (ROOT / "data" / "sample-photo.jpg").read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:])


# ---- results ----------------------------------------------------------------------------------------

def read_tiff(path):
    data = path.read_bytes()
    order = "<" if data[:2] == b"II" else ">"
    at, = struct.unpack(order + "I", data[4:8])
    count, = struct.unpack(order + "H", data[at:at + 2])
    sizes, values = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}, {}
    for i in range(count):
        tag, kind, n = struct.unpack(order + "HHI", data[at + 2 + 12 * i:at + 10 + 12 * i])
        place = at + 10 + 12 * i
        if sizes[kind] * n > 4:
            place, = struct.unpack(order + "I", data[place:place + 4])
        values[tag] = data[place:place + sizes[kind] * n]
    return values


def read_png(path):
    """(width, height, depth, color type, rows of numbers, chunks)"""
    data, at, packed, chunks = path.read_bytes(), 8, b"", {}
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 8]
        body = data[at + 8:at + 8 + length]
        packed += body if kind == b"IDAT" else b""
        chunks[kind] = body
        at += length + 12
    width, height, depth, color_type = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    raw, size = zlib.decompress(packed), {0: 1, 2: 3, 4: 2, 6: 4}[color_type] * depth // 8
    rows, last = [], bytes(width * size)
    for y in range(height):
        start = y * (width * size + 1)
        row, kind = bytearray(raw[start + 1:start + 1 + width * size]), raw[start]
        for i in range(len(row)):
            left = row[i - size] if i >= size else 0
            corner = last[i - size] if i >= size else 0
            guess = left + last[i] - corner
            near = min((abs(guess - left), 0, left), (abs(guess - last[i]), 1, last[i]),
                       (abs(guess - corner), 2, corner))[2]
            row[i] = (row[i] + (0, left, last[i], (left + last[i]) // 2, near)[kind]) & 255
        rows.append(struct.unpack(">%d%s" % (len(row) * 8 // depth, "H" if depth == 16 else "B"), bytes(row)))
        last = row
    return width, height, depth, color_type, rows, chunks


# ---- GIMP -------------------------------------------------------------------------------------------

def quoted(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def run(folder, *calls):
    """What each call gives, or ("refused", words), from one GIMP."""
    answers = folder / "answers"
    answers.unlink(missing_ok=True)
    script = f"""(let ((port (open-output-file {quoted(answers)})))
      (define (tell work)
        (write (if (colorize-photos-try (lambda () (set! told (work)))) told
                   (string-append "refused " colorize-photos-error)) port)
        (newline port))
      (define told "")
      {" ".join(f"(tell (lambda () {call}))" for call in calls)}
      (close-output-port port) (gimp-quit 0))"""
    done = subprocess.run([ROOT / "build-aux" / "gimp-batch", str(SECONDS), BUILD / "plugin", STOCK, script], text=True,
                          env={**os.environ, "COLORIZE_GIMP_SCRIPTS": str(ROOT / "plugin")}, capture_output=True,
                          timeout=SECONDS + 30)
    expect(answers.exists(), done.stdout + done.stderr)
    lines = [line.strip('"') for line in answers.read_text().splitlines()]
    expect(len(lines) == len(calls), f"{lines}: {done.stdout}{done.stderr}")
    return lines


def call(photographs, results, kind="png", strength=1.0):
    return f"(script-fu-colorize-photos {quoted(photographs)} {quoted(results)} {quoted(kind)} {strength})"


def make_scans(folder):
    scans = folder / "old scans"
    (scans / "folder.jpg").mkdir(parents=True)
    write_jpeg(scans / 'a "ü" 100%.jpg')
    write_tiff(scans / "b.tif")
    (scans / "c.jpg").write_text("no photograph")
    (scans / "notes.txt").write_text("taken in 1911")
    return scans


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


# ---- cases ------------------------------------------------------------------------------------------

def a_folder_is_colored_and_what_fails_is_told(folder):
    scans, out = make_scans(folder), folder / "out"
    before = hashes(scans)
    answers = run(folder, call(scans, out), call(scans, out))
    expect(answers[0] == "done 2 failed 1 skipped 0", answers)
    expect(answers[1] == "done 0 failed 1 skipped 2", f"the second time: {answers}")
    expect(hashes(scans) == before, "an input has changed")
    names = sorted(path.name for path in out.iterdir())
    expect(names == ['a "ü" 100%.png', "b.png", "colorize-photos.log", "colorize-photos.status"], names)
    expect((out / "colorize-photos.status").read_text() == answers[1] + "\n", "the status file")
    log = (out / "colorize-photos.log").read_text().splitlines()
    for line, start in zip(log, ["begin 3", "done", "done", "failed", "end done 2", "begin 3", "skipped", "skipped", "failed"]):
        expect(line.startswith(start), f"'{line}' does not begin with '{start}'")
    expect("c.jpg: " in log[3] and len(log[3].split("c.jpg: ")[1]) > 10, f"no reason: {log[3]}")


def sixteen_bits_and_lightness_stay(folder):
    scans, out = make_scans(folder), folder / "out"
    answers = run(folder, call(scans / "*.t?f", out), call(scans / "b.tif", folder / "gray", strength=0.0))
    expect(answers == ["done 1 failed 0 skipped 0"] * 2, answers)
    width, height, depth, color_type, rows, chunks = read_png(out / "b.png")
    expect((width, height, depth, color_type) == (WIDTH, HEIGHT, 16, 2), f"{width}x{height}, {depth} bit, {color_type}")
    expect(b"iCCP" in chunks and icc_profile() == zlib.decompress(chunks[b"iCCP"].split(b"\0", 1)[1][1:]), "the profile")
    color = sum(abs(row[i] - row[i + 2]) for row in rows for i in range(0, len(row), 3)) / (WIDTH * HEIGHT)
    expect(color > 1000, f"mean difference of red and blue is {color}, of 65535")
    # Y of the profile's own space: its primaries' second row, gamma 1.8.
    worst = 0
    for row, expected in zip(rows, gray_levels()):
        for x, level in enumerate(expected):
            r, g, b = ((v / 65535) ** 1.8 for v in row[3 * x:3 * x + 3])
            found, true = 0.2880 * r + 0.7119 * g + 0.0001 * b, (level / 65535) ** 1.8
            worst = max(worst, abs(lightness(found) - lightness(true)))
    expect(worst < 0.05, f"L* is off by {worst}")
    print(f"# L* is off by {worst:.5f} at most")
    rows = read_png(folder / "gray" / "b.png")[4]
    expect(all(abs(row[i] - row[i + 2]) <= 2 for row in rows for i in range(0, len(row), 3)), "strength 0 gives color")


def lightness(y):
    return 116 * y ** (1 / 3) - 16 if y > 216 / 24389 else y * 24389 / 27


def metadata_stay(folder):
    scans, out = make_scans(folder), folder / "out"
    answers = run(folder, call(scans / "b.tif", out, "tif"), call(scans / "a*", out, "jpg"), call(scans / "a*", out, "webp"))
    expect(answers == ["done 1 failed 0 skipped 0"] * 3, answers)
    tags = read_tiff(out / "b.tif")
    expect(tags[258] in (struct.pack("<3H", 16, 16, 16), struct.pack(">3H", 16, 16, 16)), f"bits: {tags[258]}")
    expect(tags.get(34675) == icc_profile(), "the profile of the TIFF")
    for name in ("b.tif", 'a "ü" 100%.jpg', 'a "ü" 100%.webp'):
        expect(MODEL.encode() in (out / name).read_bytes(), f"{name} has lost the camera's name")


def results_of_one_name_do_not_meet(folder):
    scans, out = make_scans(folder), folder / "out"
    write_jpeg(scans / "b.jpg")
    (scans / "c.jpg").unlink()
    answers = run(folder, call(scans, out), call(scans / "b.jpg", scans, "jpg"))
    expect(answers[0] == "done 3 failed 0 skipped 0", answers)
    expect((out / "b.png").exists() and (out / "b.tif.png").exists(), os.listdir(out))
    expect(answers[1] == "done 0 failed 0 skipped 1", f"onto itself: {answers}")


def a_result_that_was_left_unfinished_is_made_anew(folder):
    scans, out = make_scans(folder), folder / "out"
    out.mkdir()
    (out / "b.png").write_bytes(b"half")
    (out / "b.png.incomplete").touch()
    expect(run(folder, call(scans / "b.tif", out)) == ["done 1 failed 0 skipped 0"], "it was skipped")
    expect(read_png(out / "b.png")[:2] == (WIDTH, HEIGHT), "the half result is still there")
    expect(not (out / "b.png.incomplete").exists(), "the mark is still there")


def what_cannot_be_begun_is_refused(folder):
    scans, out = make_scans(folder), folder / "out"
    (folder / "file").touch()
    answers = run(folder, call(scans / "*.bmp", out), call(scans, out, "gif"), call(scans, out, strength=3),
                  call(scans, folder / "file" / "out"))
    for answer, word in zip(answers, ("no photograph", "gif", "strength", "cannot be made")):
        expect(answer.startswith("refused") and word in answer, f"'{answer}' does not say '{word}'")
    expect(not out.exists(), "something was made")


def main():
    cases = [a_folder_is_colored_and_what_fails_is_told, sixteen_bits_and_lightness_stay, metadata_stay,
             results_of_one_name_do_not_meet, a_result_that_was_left_unfinished_is_made_anew,
             what_cannot_be_begun_is_refused]
    print(f"1..{len(cases)}", flush=True)
    for number, case in enumerate(cases, 1):
        verdict = "ok"
        with tempfile.TemporaryDirectory() as folder:
            try:
                case(pathlib.Path(folder))
            except Exception as error:  # each case is judged, whatever went wrong in it
                verdict = "not ok"
                if not isinstance(error, AssertionError):
                    traceback.print_exc(file=sys.stderr)
                print("# " + str(error).strip().replace("\n", "\n# "))
        print(f"{verdict} {number} /plugin/batch/{case.__name__}", flush=True)


if __name__ == "__main__":
    main()
