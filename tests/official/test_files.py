"""Weight files of several formats; none of them can run code."""

import pickle
import sys
from argparse import Namespace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

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


@pytest.mark.parametrize("core", ["_core", "core"])
def test_training_checkpoint(core: str, tmp_path: Path) -> None:
    """A checkpoint as Pointcept saves it, with NumPy 1 or 2 and a schedule of torch up to 2.3."""
    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(layer.parameters())
    schedule = OneCycleLR(optimizer, 0.1, total_steps=5)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 3,
        "state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()},
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict() | {"anneal_func": OneCycleLR._annealing_cos},
        "scaler": {"scale": 65536.0, "growth_tracker": 7},
        "best_metric_value": np.float64(0.7),
    }
    path = tmp_path / "model_best.pth"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.", f"numpy.{core}.".encode()))
    assert equal(read_weights(path))
    with pytest.raises(pickle.UnpicklingError):  # allowed while it was read, and no longer
        torch.load(path, weights_only=True)


class Evil:
    def __reduce__(self) -> tuple:
        return (sys.exit, ("executed",))


class Found:
    """Calls a function that getattr finds."""

    def __reduce__(self) -> tuple:
        return (OneCycleLR._annealing_cos, (0.0, 1.0, 0.5))


class Options:
    """Options of a training, as Lightning and mmengine store them; made only by this test."""

    made = 0

    def __init__(self) -> None:
        self.lr = 0.1

    def __setstate__(self, state: dict) -> None:
        Options.made += 1


@pytest.mark.parametrize("other", [PurePosixPath("x"), np.ones(3), Options(), Namespace(lr=1)])
def test_other_objects_are_left_out(other: object, tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "other": other, "nested": [{"a": other}]}, tmp_path / "w.pth")
    assert equal(read_weights(tmp_path / "w.pth"))
    assert Options.made == 0


@pytest.mark.parametrize("other", [Found(), Evil(), [Options(), Evil()], np.array(["text"])[0]])
def test_functions_are_refused(other: object, tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "other": other}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth: .* read safely"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pdparams", "w.pth", "w.pkl"])
def test_code_in_a_file_is_not_run(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {"a.weight": np.ones(3), "b": Evil()})
    with pytest.raises(UserError, match=rf"{name}: .*safely"):
        read_weights(path)


def test_unreadable_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.pth: no such file"):
        read_weights(tmp_path / "nowhere.pth")
    for name in ("w.npz", "w.pth", "w.pdparams", "w.safetensors"):
        (tmp_path / name).write_bytes(b"what?")
        with pytest.raises(UserError, match=name):
            read_weights(tmp_path / name)
    np.savez(tmp_path / "half.npz", a=np.arange(1000))
    content = (tmp_path / "half.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(content[: len(content) // 2])
    with open(tmp_path / "array.npz", "wb") as file:
        np.save(file, np.arange(3))
    for name in ("half.npz", "array.npz"):
        with pytest.raises(UserError, match=rf"{name}: not a \.npz file"):
            read_weights(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"list\.pth: holds no named weights"):
        read_weights(tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"n\.pdparams: a is of type int\."):
        read_weights(write(tmp_path / "n.pdparams", {"a": 1}))
    np.savez(tmp_path / "s.npz", a=np.array(["text"]))
    with pytest.raises(UserError, match=r"s\.npz: a holds <U4\."):
        read_weights(tmp_path / "s.npz")
