"""The setup of a fresh machine finds what is missing."""

import os
import subprocess
from pathlib import Path

from helpers.printed_commands import ROOT


def test_missing_packages_in_a_long_list_of_libraries(tmp_path: Path) -> None:
    """A library at the top of a list that is longer than the buffer of a pipe is there."""
    lists = tmp_path / "ldconfig"
    lists.write_text("#!/bin/sh\necho libfirst.so.1\nyes liblast.so.1 | head -n 10000\n")
    lists.chmod(0o755)
    found = subprocess.run(
        ["bash", "-c", "set -euo pipefail; source scripts/setup.sh; "
         "missing_packages first:libfirst.so.1 none:libnone.so.1 last:liblast.so.1"],
        cwd=ROOT, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert (found.stdout, found.stderr, found.returncode) == ("none\n", "", 0)
