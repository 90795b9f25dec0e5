"""Weights in files of several kinds; none of them can run code."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.official.files import read_weights

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor(3)}


def equal(found: dict[str, Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[name], STATE[name]) for name in STATE)


def write(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}]
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pytorch(tmp_path: Path, wrap, prefix: str) -> None:
    torch.save(wrap({prefix + name: tensor for name, tensor in STATE.items()}), tmp_path / "w.pth")
    assert equal(read_weights(tmp_path / "w.pth"))


def test_pytorch_before_zip(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth.tar", _use_new_zipfile_serialization=False)
    assert equal(read_weights(tmp_path / "w.pth.tar"))


def test_numpy_and_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    np.savez(tmp_path / "w.npz", **{name: tensor.numpy() for name, tensor in STATE.items()})
    save_file(STATE, tmp_path / "w.safetensors")
    assert equal(read_weights(tmp_path / "w.npz"))
    assert equal(read_weights(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_paddle(tmp_path: Path, protocol: int) -> None:
    arrays = {name: tensor.numpy() for name, tensor in STATE.items()}
    content = arrays | {"StructuredToParameterName@@": {"a.weight": "linear_0.w_0"}}
    assert equal(read_weights(write(tmp_path / "w.pdparams", content, protocol)))
    pairs = {name: (f"generated_{name}", array) for name, array in arrays.items()}
    assert equal(read_weights(write(tmp_path / "v.pdparams", pairs, protocol)))


class Evil:
    def __reduce__(self) -> tuple:
        return (sys.exit, ("executed",))


@pytest.mark.parametrize("name", ["w.pdparams", "w.pth", "w.pkl"])
def test_nothing_in_a_file_is_run(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {"a.weight": np.ones(3), "b": Evil()})
    with pytest.raises(UserError, match=rf"{name}: .*safely"):
        read_weights(path)


def test_what_is_no_file_of_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file of weights at .*nowhere\.pth"):
        read_weights(tmp_path / "nowhere.pth")
    for name in ("w.npz", "w.pth", "w.pdparams", "w.safetensors"):
        (tmp_path / name).write_bytes(b"what?")
        with pytest.raises(UserError, match=name):
            read_weights(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"list\.pth: holds no named weights"):
        read_weights(tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"n\.pdparams: a is a int, not an array"):
        read_weights(write(tmp_path / "n.pdparams", {"a": 1}))
    np.savez(tmp_path / "s.npz", a=np.array(["text"]))
    with pytest.raises(UserError, match=r"s\.npz: a holds <U4, not numbers"):
        read_weights(tmp_path / "s.npz")
