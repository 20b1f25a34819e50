#!/bin/sh
# SPDX-License-Identifier: LGPL-3.0-or-later
# Runs the comparison of networks where there is a PyTorch: $COLORIZE_PYTHON, .venv, or the system's.
set -eu
root=$COLORIZE_SOURCE_ROOT
for python in "${COLORIZE_PYTHON:-}" "$root/.venv/bin/python" /usr/bin/python3; do
    if [ -x "$python" ] && "$python" -c 'import torch, safetensors' 2>/dev/null; then
        exec "$python" "$root/tests/peers/networks.py" "$1"
    fi
done
echo "skipped: no Python with torch and safetensors (make one: python3 -m venv .venv && .venv/bin/pip install torch numpy safetensors)"
exit 77
