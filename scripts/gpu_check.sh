#!/usr/bin/env bash
# Checks and measures pcseg on a GPU in about 12 minutes; writes gpu_check.json and gpu_check.md to $OUT, by default to
# docs/benchmarks/gpu. Options go to scripts/gpu_check.py:
#   bash scripts/gpu_check.sh
#   bash scripts/gpu_check.sh --items machine convolutions
#   bash scripts/gpu_check.sh --device cpu --small            # tries the script without a GPU
# It needs torch and the packages in scripts/gpu_check.txt, and takes the Python of PYTHON, of .venv, or python3. Without
# a network, carry their wheels (60 MB) for the same version of Python:
#   pip download --no-deps -r scripts/gpu_check.txt -d wheels
#   WHEELS=wheels bash scripts/gpu_check.sh
set -euo pipefail
OUT=$(realpath -m "${OUT:-$(dirname "$0")/../docs/benchmarks/gpu}")
WHEELS=${WHEELS:+$(realpath "$WHEELS")}
cd "$(dirname "$0")/.."
if [ -z "${PYTHON:-}" ]; then
  PYTHON=.venv/bin/python
  [ -x "$PYTHON" ] || PYTHON=python3
fi
if [ -n "$WHEELS" ]; then
  packages=$(mktemp -d)
  trap 'rm -rf "$packages"' EXIT
  "$PYTHON" -m pip install -qq --disable-pip-version-check --no-index --no-deps --find-links "$WHEELS" --target "$packages" \
    -r scripts/gpu_check.txt
fi
export PYTHONPATH="$PWD:$PWD/scripts${packages:+:$packages}${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
export PYTORCH_ALLOC_CONF=${PYTORCH_ALLOC_CONF:-expandable_segments:True}
"$PYTHON" scripts/gpu_check.py --out "$OUT" "$@"
