"""Golden files: numbers of an official implementation, and which of our checks each file belongs to."""

import importlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class Golden:
    """One ``.npz`` file: ``meta``, and arrays by the key they have in the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    @cached_property
    def meta(self) -> dict:
        return json.loads(str(self.arrays["meta"]))

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def tensor(self, key: str, dtype: torch.dtype | None = None) -> Tensor:
        """The array ``key`` as a tensor, floating point ones cast to ``dtype``."""
        tensor = torch.from_numpy(np.array(self.arrays[key]))
        return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor

    def section(self, prefix: str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """All arrays whose key starts with ``prefix``, by the rest of the key."""
        keys = [key for key in self.arrays if key.startswith(prefix)]
        return {key.removeprefix(prefix): self.tensor(key, dtype) for key in keys}


def all_checks() -> dict[str, Callable[[Golden], None]]:
    """Checks by the start of the file names they take, collected from the ``check_*.py`` beside this file."""
    checks: dict[str, Callable[[Golden], None]] = {}
    for path in sorted(Path(__file__).parent.glob("check_*.py")):
        checks |= importlib.import_module(path.stem).CHECKS
    return checks


def check_for(path: Path) -> Callable[[Golden], None] | None:
    """The check with the longest matching start of the file's name, ``None`` where there is none."""
    checks = all_checks()
    matching = [start for start in checks if path.stem.startswith(start)]
    return checks[max(matching, key=len)] if matching else None
