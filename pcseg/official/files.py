"""Read weights from files of other projects without running any code in them."""

import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcseg.errors import UserError, reason

READABLE = ".pth, .pt, .ckpt, .tar, .bin (PyTorch), .safetensors, .npz, .pdparams (Paddle)"
WRAPPERS = ("state_dict", "model", "model_state", "net")
"""Keys under which training programs store the weights among other things."""

PADDLE_BOOKKEEPING = "StructuredToParameterName@@"

HARMLESS = {
    ("collections", "OrderedDict"),
    ("builtins", "tuple"),
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}
"""Names that a pickle of arrays needs."""


def _nothing(*_: object) -> None:
    """Stand in for functions that a file names and weights do not need."""


BESIDE_WEIGHTS = [
    np.dtype,
    *(type(np.dtype(code)) for code in "?" + np.typecodes["AllInteger"] + np.typecodes["AllFloat"]),
    *((np.float64().__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    # Up to torch 2.3 the state of OneCycleLR names a function of its class through getattr.
    *((_nothing, name) for name in ("builtins.getattr", "torch.optim.lr_scheduler.OneCycleLR")),
]
"""Content of training checkpoints besides tensors: NumPy scalars (Pointcept's best score) and schedules."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by their names in the file, without a common prefix ``module.``.

    Args:
        path: A file of PyTorch, safetensors, NumPy (``.npz`` of named arrays) or Paddle.

    Raises:
        UserError: The file does not exist, does not match its suffix, or holds more than weights.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file. Give a file of weights.")
    readers = {".npz": _read_npz, ".pdparams": _read_paddle, ".safetensors": _read_safetensors}
    content = readers.get(path.suffix, _read_torch)(path)
    tensors = {name: tensor for name, tensor in _unwrapped(content).items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise UserError(f"{path}: holds no named weights. Export the state dict alone.")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _unwrapped(content: Any) -> Mapping[str, Any]:
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    return content if isinstance(content, Mapping) else {}


def _read_torch(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(BESIDE_WEIGHTS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything from EOFError to UnpicklingError
        raise UserError(
            f"{path}: cannot be read safely ({reason(error, most=120)}). Use {READABLE} with tensors and numbers only."
        ) from error


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: _tensor(path, name, file[name]) for name in file.files}
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path}: not a .npz file of plain arrays ({reason(error)}). Export it again."
        ) from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # its exceptions have no common base class
        raise UserError(f"{path}: not a safetensors file ({reason(error)}). Export it again.") from error


def _read_paddle(path: Path) -> dict[str, Tensor]:
    """Read a state dict of ``paddle.save``: a pickle of arrays by name."""
    try:
        with open(path, "rb") as file:
            content = _ArrayUnpickler(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: not a Paddle state dict that can be read safely ({reason(error)}). Export it again."
        ) from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}. Give a Paddle state dict.")
    tensors = {}
    for name, value in content.items():
        if name == PADDLE_BOOKKEEPING:
            continue
        array = value[1] if isinstance(value, tuple) and len(value) == 2 else value
        if not isinstance(array, np.ndarray):
            raise UserError(f"{path}: {name} is of type {type(array).__name__}. Give a state dict of arrays.")
        tensors[name] = _tensor(path, name, array)
    return tensors


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and containers, and rejects everything else that a pickle can name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"names {module}.{name}")
        return super().find_class(module, name)


def _tensor(path: Path, name: str, array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise UserError(f"{path}: {name} holds {array.dtype}. Give a state dict of numbers.")
    return torch.from_numpy(np.array(array))
