"""Commands printed in the documentation, and functions that run them."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pcseg.cli import main

ROOT = Path(__file__).resolve().parents[2]


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of one language in a text."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def bash_commands(text: str) -> list[str]:
    """Return every command of the bash blocks, without comments and with continued lines joined."""
    lines = [
        re.sub(r"\s+#.*", "", line).strip()
        for block in blocks(text, "bash")
        for line in re.sub(r"\\\n\s*", "", block).splitlines()
    ]
    return [line for line in lines if line and not line.startswith("#")]


def all_commands(text: str) -> list[str]:
    """Return the commands of bash blocks, and the Python commands between backticks in a sentence."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return bash_commands(text) + [" ".join(found.split()) for found in re.findall(r"`(python [^`]+)`", prose)]


def run_apart(command: str, *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a command in a separate process and return its output; it must succeed."""
    done = subprocess.run(
        shlex.split(command), cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def run_here(words: list[str]) -> None:
    """Run ``pcseg NAME ...`` in this process."""
    assert words[0] == "pcseg", words
    main(words[1:])
