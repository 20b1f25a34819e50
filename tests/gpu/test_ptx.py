#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""The committed PTX against its sources, its list and NVIDIA's assembler; prints TAP.

Without a toolkit below COLORIZE_CUDA_ROOT what needs one is skipped.
"""
import importlib.machinery
import importlib.util
import pathlib
import re
import sys

SOURCE_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
MAX_REGISTERS = 64
NO_TOOLKIT = "COLORIZE_CUDA_ROOT names no folder with %s"


class Skip(Exception):
    """Why a case did not run."""


def load_make_ptx():
    loader = importlib.machinery.SourceFileLoader("make_ptx", str(SOURCE_ROOT / "build-aux" / "make-ptx"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("make_ptx", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


make_ptx = load_make_ptx()
text = make_ptx.PTX.read_text(encoding="utf-8")


def ptx_and_list_name_the_same_kernels():
    listed, there = make_ptx.listed_kernels(), make_ptx.entries(text)
    if len(listed) != len(set(listed)):
        yield "kernels.def names a kernel twice"
    yield from (f"{name} is in kernels.def, not in the PTX" for name in sorted(set(listed) - set(there)))
    yield from (f"{name} is in the PTX, not in kernels.def" for name in sorted(set(there) - set(listed)))


def ptx_was_made_of_these_sources():
    fault = make_ptx.check([])
    if fault:
        yield fault


def ptx_is_what_the_toolkit_makes():
    made_by, _ = make_ptx.made_of(text)
    nvrtcs = [nvrtc for nvrtc in make_ptx.find_nvrtcs() if nvrtc.version == made_by]
    if not nvrtcs:
        raise Skip(NO_TOOLKIT % f"NVRTC {made_by}")
    fault = make_ptx.check(nvrtcs)
    if fault:
        yield fault


def every_toolkit_compiles_the_sources():
    nvrtcs = make_ptx.find_nvrtcs()
    if not nvrtcs:
        raise Skip(NO_TOOLKIT % "NVRTC")
    for nvrtc in nvrtcs:
        try:
            there = make_ptx.entries("\n".join(make_ptx.body(nvrtc.compile())))
        except make_ptx.Failure as failure:
            yield f"NVRTC {nvrtc.version}: {failure}"
            continue
        if sorted(there) != sorted(make_ptx.listed_kernels()):
            yield f"NVRTC {nvrtc.version}: {len(there)} kernels, expected {len(make_ptx.listed_kernels())}"


def usage(report):
    """(kernel, registers, spilled bytes) of each kernel in what ptxas -v prints"""
    kernel, spilled = None, 0
    for line in report.splitlines():
        found = re.search(r"Compiling entry function '(\w+)'", line)
        kernel = found[1] if found else kernel
        found = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line)
        spilled = int(found[1]) + int(found[2]) if found else spilled
        found = re.search(r"Used (\d+) registers", line)
        if found:
            yield kernel, int(found[1]), spilled


def assembler_takes_it_without_spills():
    assemblers = make_ptx.find_ptxas()
    if not assemblers:
        raise Skip(NO_TOOLKIT % "ptxas")
    for architecture in ARCHITECTURES:
        accepted, report = make_ptx.assemble(assemblers[0], text, architecture, verbose=True)
        if not accepted:
            yield f"sm_{architecture}: {report.strip().splitlines()[0]}"
            continue
        rows = list(usage(report))
        kernel, registers, _ = max(rows, key=lambda row: row[1])
        print(f"# sm_{architecture}: {len(rows)} kernels, the largest is {kernel} with {registers} registers")
        if len(rows) != len(make_ptx.listed_kernels()):
            yield f"sm_{architecture}: ptxas reports {len(rows)} kernels"
        yield from (f"sm_{architecture}: {name} takes {n} registers, allowed are {MAX_REGISTERS}"
                    for name, n, _ in rows if n > MAX_REGISTERS)
        yield from (f"sm_{architecture}: {name} spills {n} bytes" for name, _, n in rows if n)


def main():
    cases = [ptx_and_list_name_the_same_kernels, ptx_was_made_of_these_sources, ptx_is_what_the_toolkit_makes,
             every_toolkit_compiles_the_sources, assembler_takes_it_without_spills]
    print(f"1..{len(cases)}")
    for number, case in enumerate(cases, 1):
        name = f"{number} /backend/cudnn/ptx/{case.__name__}"
        try:
            faults = list(case())
        except Skip as skip:
            print(f"ok {name} # SKIP {skip}")
            continue
        for fault in faults:
            print(f"# {fault}")
        print(f"{'not ok' if faults else 'ok'} {name}")


if __name__ == "__main__":
    main()
