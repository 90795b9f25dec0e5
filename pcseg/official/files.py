"""Read weights from files of other projects without running any code in them."""

import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcseg.errors import UserError, reason

READABLE = ".pth, .pt, .ckpt, .tar, .bin (PyTorch), .safetensors, .npz, .pdparams (Paddle)"
WRAPPERS = ("state_dict", "model", "model_state", "model_state_dict", "net", "network", "module", "weights")
"""Keys under which training programs store the weights among other things."""

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "params_ema", "ema", "averaged_model",
            "shadow")  # fmt: skip
"""Keys of a moving average of the weights, which is read if a file holds nothing else."""

WRAPPED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""Parts that torch.compile and others insert anywhere in a name."""

PREFIXES = ("module.", "model.", "network.", "net.", "ema.", "ema_model.", "averaged_model.",
            "_forward_module.")  # fmt: skip
"""Prefixes that wrappers, Lightning modules and moving averages put before all names."""

COUNTERS = ("n_averaged", "num_updates", "decay", "initted", "step")
"""Numbers that moving averages store beside the weights."""

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


HARMLESS_MODULES = frozenset({"argparse", "collections", "datetime", "enum", "pathlib", "types", "uuid"})
"""Modules of the standard library whose objects a checkpoint may hold; they are not made either."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by their names in the file, without what wrappers of models add to them.

    Args:
        path: A file of PyTorch, safetensors, NumPy (``.npz`` of named arrays) or Paddle.

    Raises:
        UserError: The file does not exist, does not match its suffix, or holds more than weights.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file. Give a file of weights.")
    kind, reader = READERS.get(path.suffix, ("PyTorch file", _read_torch))
    try:
        content = reader(path)
    except UserError:
        raise
    except Exception as error:  # every library raises its own types for damaged files
        cause = reason(error, most=10_000).rpartition("WeightsUnpickler error: ")[2][:120]
        raise UserError(
            f"{path}: not a {kind} that can be read safely ({cause}). "
            f"Use {READABLE} with tensors and numbers only."
        ) from error
    return _plain_names(_named_tensors(content, path), path)


def _named_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the tensors in the innermost mapping of a checkpoint that training programs give a known name.

    Raises:
        UserError: There are no tensors with names, or several mappings of other names hold some.
    """
    content = content if isinstance(content, Mapping) else {}
    wrapper: str | None = ""
    while wrapper is not None:
        content = content[wrapper] if wrapper else content
        wrapper = next((key for key in WRAPPERS + AVERAGED if isinstance(content.get(key), Mapping)), None)
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    if tensors.keys() - {*COUNTERS}:
        return tensors
    others = [
        key for key, part in content.items() if isinstance(part, Mapping) and _holds_tensors(part.values())
    ]
    if len(others) == 1:
        return _named_tensors(content[others[0]], path)
    if others:
        raise UserError(
            f"{path}: holds several sets of weights: {', '.join(map(str, others))}. Export one of them."
        )
    unnamed = [
        str(key) for key, part in content.items() if isinstance(part, list | tuple) and _holds_tensors(part)
    ]
    found = f", only tensors without names in {unnamed[0]!r}" if unnamed else ""
    raise UserError(f"{path}: holds no named weights{found}. Export the state dict of the model.")


def _holds_tensors(values: Iterable[Any]) -> bool:
    return any(isinstance(value, Tensor) for value in values)


def _plain_names(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the tensors by names without what wrappers of models add."""
    plain = {}
    for name, tensor in tensors.items():
        for part in WRAPPED:
            name = name.replace(part, "")
        if name in plain:
            raise UserError(
                f"{path}: holds {name} twice, with and without a wrapper. Export the state dict again."
            )
        if name not in COUNTERS or tensor.numel() != 1:
            plain[name] = tensor
    while plain and (
        prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in plain)), None)
    ):
        plain = {name.removeprefix(prefix): tensor for name, tensor in plain.items()}
    return plain


class _Inert:
    """Stands for objects of other programs in a checkpoint, such as the options of a training; it does nothing."""

    def __new__(cls, *_: object) -> "_Inert":
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


def _read_torch(path: Path) -> Any:
    with torch.serialization.safe_globals(BESIDE_WEIGHTS):
        foreign: list[str] = []
        with suppress(Exception):  # files before torch 1.6, and damaged ones
            foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        harmful = [
            name for name in foreign if name.split(".")[0] in sys.stdlib_module_names - HARMLESS_MODULES
        ]
        if harmful:
            raise UserError(
                f"{path}: cannot be read safely (it names {harmful[0]}). Export the state dict alone."
            )
        with torch.serialization.safe_globals([(_Inert, name) for name in foreign]):
            return torch.load(path, map_location="cpu", weights_only=True)


def _read_npz(path: Path) -> dict[str, Tensor]:
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        return {name: _tensor(path, name, file[name]) for name in file.files}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _read_paddle(path: Path) -> dict[str, Tensor]:
    """Read a state dict of ``paddle.save``: a pickle of arrays by name."""
    with open(path, "rb") as file:
        content = _ArrayUnpickler(file, encoding="latin1").load()
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


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    ".npz": (".npz file of plain arrays", _read_npz),
    ".pdparams": ("Paddle state dict", _read_paddle),
    ".safetensors": ("safetensors file", _read_safetensors),
}
"""Name and reader of every format but PyTorch's, by suffix."""
