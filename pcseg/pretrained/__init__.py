"""Models that ship with pcseg: half-precision weights and a card in one safetensors file."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcseg.errors import UserError, reason
from pcseg.files import atomic_path

FOLDER = Path(__file__).parent
"""Folder of the files, which are part of the package."""

DEFAULT = Path("indoor-small")
"""The model of ``pcseg predict`` without ``--ckpt``: made by ``scripts/pretrain.sh``."""

SUFFIX = ".safetensors"


def packaged(path: Path) -> Path:
    """Return the file of a model that ships with pcseg for its name; other paths stay.

    Raises:
        UserError: The name is :data:`DEFAULT`, but this installation lacks its file.
    """
    file = FOLDER / f"{path.name}{SUFFIX}"
    if len(path.parts) == 1 and not path.suffix and not path.exists() and file.is_file():
        return file
    if path == DEFAULT and not path.exists():
        raise UserError(
            f"{file}: this installation has no such model. Pass --ckpt FILE, or make it with scripts/pretrain.sh."
        )
    return path


def ships(path: Path) -> bool:
    """Return whether a file of a model is part of this installation."""
    return path.parent == FOLDER


def write_half(path: Path, card: dict[str, Any], state: dict[str, Tensor]) -> None:
    """Write weights in half precision, the statistics and scales of norms in single, with card and checksum.

    Raises:
        UserError: The operating system refuses to write the file.
    """
    from safetensors.torch import save

    state = {
        name: (value.half() if value.is_floating_point() and value.dim() > 1 else value).contiguous()
        for name, value in state.items()
    }
    text = json.dumps(card)
    data = save(state, metadata={"card": text, "sha256": content_hash(text, state)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def read_half(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a file of :func:`write_half` and return its card and its weights in single precision.

    Raises:
        UserError: Not such a file, or its checksum differs.
    """
    from safetensors import safe_open

    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint. Train one with `pcseg train`.")
    try:
        with safe_open(path, "pt") as file:
            text, expected = (file.metadata()[name] for name in ("card", "sha256"))
            state = {name: file.get_tensor(name) for name in file.keys()}
        card = json.loads(text)
    except Exception as error:  # safetensors raises its own type, and others for other files
        raise UserError(
            f"{path}: not a readable model of pcseg ({reason(error)}). Restore a copy."
        ) from error
    if expected != content_hash(text, state):
        raise UserError(f"{path}: damaged, its checksum differs. Restore a copy or install pcseg again.")
    return card, {
        name: value.float() if value.is_floating_point() else value for name, value in state.items()
    }


def content_hash(text: str, state: dict[str, Tensor]) -> str:
    """Return the SHA-256 of a text and of named weights."""
    found = hashlib.sha256(text.encode())
    for name, value in sorted(state.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
