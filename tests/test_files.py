"""Atomic writing: a file is complete or absent, and failures are one-line errors."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pcseg.config_names import read_yaml
from pcseg.errors import UserError
from pcseg.files import atomic_path, make_folder, write_json, write_text


def test_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "points.npz"
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            np.savez(file, pos=np.zeros(3))
        assert not path.exists()
        assert temporary.parent == path.parent
    assert [file.name for file in path.parent.iterdir()] == ["points.npz"]


def interrupt(path: Path) -> None:
    path.write_text("half")
    raise ZeroDivisionError


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "points.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        interrupt(temporary)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_operating_system_error_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.below.txt: cannot be written .*another folder"):
        write_text(tmp_path / "file" / "below.txt", "")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path, "a folder is in the way")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"result.json: cannot be written \(.*No space left"):
        write_json(tmp_path / "result.json", {"miou": 0.5})
    assert not list(tmp_path.iterdir())


def test_text_keeps_line_endings_and_json_is_strict(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\r\n".encode()
    write_json(tmp_path / "a.json", {"miou": None})
    assert json.loads((tmp_path / "a.json").read_text()) == {"miou": None}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"miou": float("nan")})
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_folder_that_cannot_be_created(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*cannot be created .*\. Choose another folder"):
        make_folder(tmp_path / folder)


def test_folder_that_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # independent of the user who runs the tests
    with pytest.raises(UserError, match=r"new: not writable\. Choose another folder"):
        make_folder(tmp_path / "new")


def test_yaml_is_text_and_keys_are_unique(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: [no, 010, ~, '~']\nb: {2: 2024-01-01, c: }\n")
    assert read_yaml(path) == {"a": ["no", "010", None, "~"], "b": {"2": "2024-01-01", "c": None}}
    for text, message in {
        "a: 1\nb:\n  c: 1\n  c: 2\n": r"a\.yaml line 4: c is given twice\. Keep one",
        "a: [": "not YAML",
        "[a]: 1\n? {b: 2}\n: 3": "not YAML",
        "a: \xe9": "not YAML",
    }.items():
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(UserError, match=message) as caught:
            read_yaml(path)
        assert "\n" not in str(caught.value)
