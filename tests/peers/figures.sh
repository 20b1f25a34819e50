#!/bin/sh
# SPDX-License-Identifier: LGPL-3.0-or-later
# Runs the comparison of figures where there is a scikit-image: $COLORIZE_PYTHON, .venv, or the system's.
set -eu
root=$COLORIZE_SOURCE_ROOT
for python in "${COLORIZE_PYTHON:-}" "$root/.venv/bin/python" /usr/bin/python3; do
    if [ -x "$python" ] && "$python" -c 'import numpy, scipy, skimage' 2>/dev/null; then
        exec "$python" "$root/tests/peers/figures.py" "$1"
    fi
done
echo "skipped: no Python with numpy, scipy and scikit-image (make one: python3 -m venv .venv && .venv/bin/pip install numpy scipy scikit-image)"
exit 77
