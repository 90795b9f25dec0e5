"""Commands that the texts print, and how tests run them: in processes of their own, or right here."""

import os
import re
import runpy
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def blocks(text: str, language: str) -> list[str]:
    """What stands in the text's blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def bash_commands(text: str) -> list[str]:
    """Every command of the text's bash blocks, without comments, continued lines joined."""
    lines = [
        re.sub(r"\s+#.*", "", line).strip()
        for block in blocks(text, "bash")
        for line in re.sub(r"\\\n\s*", "", block).splitlines()
    ]
    return [line for line in lines if line and not line.startswith("#")]


def all_commands(text: str) -> list[str]:
    """Those of bash blocks, and the calls of Python that stand between backticks in a sentence."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return bash_commands(text) + [" ".join(found.split()) for found in re.findall(r"`(python [^`]+)`", prose)]


def run_apart(command: str, *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a command in a process of its own and return what it printed; it must succeed."""
    done = subprocess.run(
        shlex.split(command), cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def run_here(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run ``python scripts/NAME.py ...`` in this process: what it imports is imported already."""
    assert words[0] == "python", words
    assert words[1].startswith("scripts/"), words
    monkeypatch.setattr("sys.argv", words[1:])
    runpy.run_path(str(ROOT / words[1]), run_name="__main__")
