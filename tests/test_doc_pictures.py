"""Every picture of the README and of docs/ shows what the command printed for it draws: only the paths are replaced."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from frame_picture import draw_frame
from helpers.office import (
    write_image_model,
    write_office,
    write_office_frame,
    write_office_prediction,
    write_point_model,
)
from helpers.printed_commands import ROOT, all_commands, run_here
from PIL import Image

from pcseg.cli import run
from pcseg.labels import S3DIS

TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("data/", "runs/", "docs/")
"""Folders of the printed paths; the tests have their own."""


def shown_pictures() -> list[Path]:
    """Return the pictures that the texts show, relative to the repository."""
    links = [
        (text.parent / link).resolve().relative_to(ROOT)
        for text in TEXTS
        for link in re.findall(r"!\[[^\]]*\]\(([^)\s]+\.png)\)", text.read_text())
    ]
    return sorted(set(links))


SHOWN = shown_pictures()


def command_of(picture: Path) -> list[str]:
    """Return the words of the command that writes a picture; all texts that print it must print the same."""
    printed = [shlex.split(command) for text in TEXTS for command in all_commands(text.read_text())]
    found = {tuple(words) for words in printed if ("--png", str(picture)) in pairwise(words)}
    assert len(found) == 1, f"print one command that makes {picture}; found {sorted(found)}"
    return list(found.pop())


def write_inputs(words: list[str]) -> None:
    """Write the rooms, predictions and models that a command reads, unless they exist."""
    options = {word: value for word, value in pairwise(words) if word.startswith("--")}
    room = Path(words[2])
    writers = {
        "--prediction": lambda path: write_office_prediction(path, room),
        "--ckpt": lambda path: write_point_model(path, head_in(path), room_axes=head_in(path) == "slab"),
        "--frame_ckpt": lambda path: write_image_model(path, head_in(path)),
    }
    if not room.exists():
        write_office(room)
    for word in words:
        if word.endswith(".jpg") and not Path(word).exists():
            write_office_frame(Path(word))
    for option, write in writers.items():
        if option in options and not Path(options[option]).exists():
            write(Path(options[option]))


def head_in(path: Path) -> str:
    """Return the head that the path of a checkpoint names."""
    (head,) = {"ctnet", "encnet", "ccnet", "slab"} & set(path.parts)
    return head


def texts_in(picture: Path) -> set[str]:
    """Return the titles and headings that a picture shows, with marks for numbers and classes."""
    with Image.open(picture) as image:
        description = image.info.get("Description", "")
    description = re.sub(rf"\b({'|'.join((*S3DIS.names, 'no class'))})\b", "@", description)
    texts = {re.sub(r"[-\u2212+<]?\d[\d.,e-]*", "#", line) for line in description.splitlines()}
    return {text for text in texts if re.search(r"[a-z]", text)}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.mark.slow
@pytest.mark.parametrize("picture", SHOWN, ids=str)
def test_the_printed_command_draws_the_same(picture: Path, work: Path) -> None:
    words = [f"{work}/{word}" if word.startswith(FOLDERS) else word for word in command_of(picture)]
    write_inputs(words)
    if words[0] == "python":
        run(draw_frame, args=words[2:])
    else:
        run_here(words)
    with Image.open(work / picture) as made, Image.open(ROOT / picture) as committed:
        drawn = (np.asarray(made.convert("RGB")) < 250).any(axis=2).mean()
        assert drawn > 0.1, "blank"
        assert made.size == committed.size
    assert texts_in(work / picture) == texts_in(ROOT / picture)


def test_every_picture_is_shown() -> None:
    assert {path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.png")} == set(SHOWN)
