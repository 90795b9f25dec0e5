#!/usr/bin/env bash
# Sets everything up and passes the tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh
setup
install_torch_scatter || echo "torch-scatter could not be built: its tests are skipped" >&2
say "Style and types"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/pyright
say "Tests"
# one process a core, one thread each: threads that wait for each other spin
OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist loadfile "$@"
