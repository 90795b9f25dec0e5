#!/usr/bin/env bash
# Sets everything up, checks style, types, spelling and documentation, and runs the tests. Arguments go to pytest, and
# with them only tests run:
#   bash scripts/test.sh -m "not slow"    # the fast lane, 1.5 to 2 minutes on 2 cores once installed
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh
setup
install_system_packages $TEST_PACKAGES || echo "Tests of the viewers that need them are skipped." >&2
install_torch_scatter || echo "torch-scatter could not be built: its tests are skipped." >&2
if [ $# = 0 ]; then
  log "Style, types, spelling and documentation"
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  .venv/bin/codespell
  .venv/bin/pyright &
  NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet --site-dir "$(mktemp -d)"
  wait $!
fi
log "Tests"
# one process per core with one thread each: threads that wait for each other waste time
OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
