"""Every picture of the README and of docs/ is made again by the command printed with it: only paths are replaced."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.office import (
    write_image_model,
    write_office,
    write_office_frame,
    write_office_prediction,
    write_point_model,
)
from helpers.printed_commands import ROOT, all_commands, run_here
from PIL import Image

from pcseg.views.render.pictures import INK

TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("data/", "runs/", "docs/")
"""Where the printed paths start; in the tests they do so inside a folder of their own."""


def pictures_of(text: Path) -> list[Path]:
    """The pictures that a text shows, relative to the repository."""
    links = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text.read_text())
    return [(text.parent / link).resolve().relative_to(ROOT) for link in links]


SHOWN = [(text, picture) for text in TEXTS for picture in pictures_of(text)]


def command_of(text: Path, picture: Path) -> list[str]:
    """The words of the command with ``--png`` of that picture, which must be printed in the same text."""
    found = [shlex.split(command) for command in all_commands(text.read_text())]
    fitting = [
        words for words in found if "--png" in words and words[words.index("--png") + 1] == str(picture)
    ]
    assert len(fitting) == 1, f"{text}: print the command that makes {picture}, once; found {len(fitting)}"
    return fitting[0]


def furnish(words: list[str]) -> None:
    """Make the rooms, predictions and models that a command reads, where they are not there yet."""
    options = {word: value for word, value in pairwise(words) if word.startswith("--")}
    room = Path(words[2])
    makers = {
        "--prediction": lambda place: write_office_prediction(place, room),
        "--ckpt": lambda place: write_point_model(place, head_in(place)),
        "--frame_ckpt": lambda place: write_image_model(place, head_in(place)),
        "--frame": write_office_frame,
    }
    if not room.exists():
        write_office(room)
    for option, make in makers.items():
        if option in options and not Path(options[option]).exists():
            make(Path(options[option]))


def head_in(place: Path) -> str:
    """Which head the path of a checkpoint speaks of."""
    (head,) = {"ctnet", "encnet", "ccnet"} & set(place.parts)
    return head


def pixels(picture: Path) -> np.ndarray:
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))


def share_of_words(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the pixels of titles, names and numbers that two pictures have in the same places."""
    if one.shape != other.shape:
        return 0.0
    first, second = ((image == INK).all(axis=2) for image in (one, other))
    return float((first & second).sum() / (first | second).sum())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.mark.parametrize(("text", "picture"), SHOWN, ids=[str(picture) for _, picture in SHOWN])
def test_made_again_by_the_printed_command(
    text: Path, picture: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"{work}/{word}" if word.startswith(FOLDERS) else word for word in command_of(text, picture)]
    furnish(words)
    run_here(words)
    made = pixels(work / picture)
    committed = {path: pixels(ROOT / path) for _, path in SHOWN}
    assert made.shape == committed[picture].shape
    drawn, before = ((image < 250).any(axis=2).mean() for image in (made, committed[picture]))
    assert drawn > 0.5 * before, "blank"
    alike = {path: share_of_words(made, image) for path, image in committed.items()}
    assert alike.pop(picture) > 0.6, "another layout: titles, legends or charts stand elsewhere"
    assert max(alike.values()) < 0.4, alike


def test_no_picture_is_left_over() -> None:
    there = {path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.png")}
    assert there == {picture for _, picture in SHOWN}
