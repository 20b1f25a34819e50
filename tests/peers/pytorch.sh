#!/bin/sh
# SPDX-License-Identifier: LGPL-3.0-or-later
# Runs the comparison where there is a PyTorch: $COLORIZE_PYTHON, .venv, or the system's.
set -eu
root=$COLORIZE_SOURCE_ROOT
weights=${COLORIZE_WEIGHTS:-$root/weights/photo.safetensors}
[ -f "$weights" ] || { echo "skipped: there are no weights at $weights"; exit 77; }
for python in "${COLORIZE_PYTHON:-}" "$root/.venv/bin/python" /usr/bin/python3; do
    if [ -x "$python" ] && "$python" -c 'import torch, numpy, safetensors' 2>/dev/null; then
        exec "$python" "$root/tests/peers/pytorch.py" check "$1" "$weights"
    fi
done
echo "skipped: no Python with torch, numpy and safetensors (make one: python3 -m venv .venv && .venv/bin/pip install torch numpy safetensors)"
exit 77
