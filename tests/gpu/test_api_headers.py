#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Holds cuda_api.h, cudnn_api.h and nccl_api.h against NVIDIA's headers and prints TAP:  test_api_headers.py CC SOURCE_ROOT

COLORIZE_CUDA_ROOT: folders, with colons between, each a toolkit, a virtual environment or site-packages. Where a
folder holds cuda.h, cudnn_graph.h or nccl.h, a C file is compiled against it that asserts each constant's value, each type's
size, alignment and signedness, and each prototype, spelled as here and read with the real types.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

COMPILER, ROOT = sys.argv[1].split(), pathlib.Path(sys.argv[2])
OWN = ROOT / "engine/backend/cudnn"
# cudnn_graph.h and nccl.h want these of the runtime's headers, and use of them no more than this. Wheels of cuDNN for
# CUDA 12 and of NCCL come without them.
RUNTIME = {
    "cuda_runtime_api.h": "typedef struct CUstream_st *cudaStream_t; typedef struct CUgraph_st *cudaGraph_t;",
    "library_types.h": "typedef enum { MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL } libraryPropertyType;",
    "cuda_runtime.h": "#include <cuda_runtime_api.h>\ntypedef struct CUevent_st *cudaEvent_t;",
    "cuda_fp16.h": "",
    "cuda_bf16.h": "",
}
# The runtime's names for two of the driver's types: the others take those.
ALIASES = {"cuda.h": [], "cudnn_graph.h": ["typedef cudaStream_t CUstream;", "typedef cudaGraph_t CUgraph;"],
           "nccl.h": ["typedef cudaStream_t CUstream;"]}
# Where a header's version is, and in which macros.
VERSIONS = {"cuda.h": (["cuda.h"], ["CUDA_VERSION"]),
            "cudnn_graph.h": (["cudnn_version.h", "cudnn_version_v9.h"],
                              ["CUDNN_MAJOR", "CUDNN_MINOR", "CUDNN_PATCHLEVEL"]),
            "nccl.h": (["nccl.h"], ["NCCL_MAJOR", "NCCL_MINOR", "NCCL_PATCH"])}
# Prints the own headers' rows: kind and what follows, with tabs between.
LIST = r"""
#include <stdio.h>
#include "cudnn_api.h"
#include "nccl_api.h"
#define CONSTANT(name, value) printf("constant\t%s\t%d\n", #name, value);
#define TYPE(type) printf("type\t%s\t%zu\t%zu\t%d\n", #type, sizeof(type), _Alignof(type), IS_SIGNED(type));
#define IS_SIGNED(type) _Generic((type *)0, int *: 1, default: 0)
#define FUNCTION(returned, name, parameters) printf("function\t%s\t%s\t%s\n", #returned, #name, #parameters);
int main(void)
{
    PREFIX_CONSTANTS(CONSTANT)
    PREFIX_TYPES(TYPE)
    PREFIX_FUNCTIONS(FUNCTION)
    EXTRA
    return 0;
}
"""
# int or not: an enum is unsigned int with this compiler unless a value is negative.
SIGN = "_Generic((%s *)0, int *: 1, default: 0)"


def run(command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def list_rows(prefix, folder):
    source = folder / f"{prefix}.c"
    extra = "" if prefix == "CUDA" else f"{prefix}_OPTIONAL_FUNCTIONS(FUNCTION)"
    source.write_text(LIST.replace("PREFIX", prefix).replace("EXTRA", extra))
    done = run(COMPILER + ["-I", OWN, "-o", folder / prefix, source])
    if done.returncode:
        raise SystemExit(f"Bail out! the own headers do not compile: {done.stderr}")
    return [line.split("\t") for line in run([folder / prefix]).stdout.splitlines()]


def assertion(row):
    kind, *rest = row
    if kind == "constant":
        name, value = rest
        return f'_Static_assert((long)({name}) == {value}, "value of {name}");'
    if kind == "type":
        name, size, alignment, signed = rest
        return (f'_Static_assert(sizeof({name}) == {size} && _Alignof({name}) == {alignment} && '
                f'{SIGN % name} == {signed}, "shape of {name}");')
    returned, name, parameters = rest
    return (f'_Static_assert(__builtin_types_compatible_p(__typeof__(&{name}), {returned} (*){parameters}), '
            f'"prototype of {name}");')


def include_folders(root):
    patterns = ("include", "nvidia/*/include", "lib/python3*/site-packages/nvidia/*/include")
    found = [folder for pattern in patterns for folder in sorted(root.glob(pattern))]
    return [folder for folder in [root] + found if folder.is_dir()]


def check(rows, header, folders, scratch):
    """Faults, one a line; empty if all rows hold."""
    source = scratch / "check.c"
    # The stand-ins lie last in the search, so a real runtime header goes first.
    text = "\n".join([f"#include <{header}>"] + ALIASES[header] + [assertion(row) for row in rows])
    source.write_text(text + "\n")
    search = [word for folder in folders for word in ("-isystem", folder)] + ["-idirafter", scratch / "runtime"]
    done = run(COMPILER + ["-fsyntax-only"] + search + [source])
    return [line for line in done.stderr.splitlines() if "error" in line] or (["no words"] if done.returncode else [])


def tell_version(header, folders):
    names, macros = VERSIONS[header]
    for folder in folders:
        for path in [folder / name for name in names]:
            words = [line.split() for line in path.read_text(errors="replace").splitlines()] if path.exists() else []
            found = {line[1]: line[2] for line in words if len(line) > 2 and line[0] == "#define"}
            if all(macro in found for macro in macros):
                return ".".join(found[macro] for macro in macros)
    return "?"


def cases(scratch):
    """(name, faults or None, words) of each header in each folder."""
    roots = [pathlib.Path(word) for word in os.environ.get("COLORIZE_CUDA_ROOT", "").split(":") if word]
    for prefix, header in (("CUDA", "cuda.h"), ("CUDNN", "cudnn_graph.h"), ("NCCL", "nccl.h")):
        rows = list_rows(prefix, scratch)
        counts = ", ".join(f"{sum(row[0] == kind for row in rows)} {kind}s" for kind in ("constant", "type", "function"))
        for number, root in enumerate(roots, 1):
            folders = include_folders(root)
            name = f"/gpu/{prefix.lower()}_api_agrees_with_{header}_of_folder_{number}"
            if any((folder / header).exists() for folder in folders):
                faults = check(rows, header, folders, scratch)
                yield name, faults, f"{header} {tell_version(header, folders)}: held {counts} against it"
            else:
                yield name, None, f"no {header} below {root}"
        if not roots:
            yield f"/gpu/{prefix.lower()}_api_agrees_with_{header}", None, f"COLORIZE_CUDA_ROOT is not set ({counts})"


def main():
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        (scratch / "runtime").mkdir()
        for name, text in RUNTIME.items():
            (scratch / "runtime" / name).write_text(text + "\n")
        done = list(cases(scratch))
    print(f"1..{len(done)}")
    for number, (name, faults, words) in enumerate(done, 1):
        for fault in faults or []:
            print(f"# {fault}")
        if faults is None:
            print(f"ok {number} {name} # SKIP {words}")
        else:
            print(f"# {words}")
            print(f"{'not ok' if faults else 'ok'} {number} {name}")


main()
