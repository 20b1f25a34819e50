#!/bin/sh
# SPDX-License-Identifier: LGPL-3.0-or-later
# Runs the comparison where there is a TensorBoard: $COLORIZE_PYTHON, .venv, or the system's.
set -eu
for python in "${COLORIZE_PYTHON:-}" "$COLORIZE_SOURCE_ROOT/.venv/bin/python" /usr/bin/python3; do
    if [ -x "$python" ] && "$python" -c 'import tensorboard' 2>/dev/null; then
        exec "$python" "$COLORIZE_SOURCE_ROOT/tests/peers/events.py"
    fi
done
echo "1..0 # SKIP no Python with tensorboard (make one: python3 -m venv .venv && .venv/bin/pip install tensorboard)"
