"""Maxima over runs of rows against loops, and gathers with their gradients."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pcseg.ops import segment
from pcseg.ops.segment import permute_rows, repeat_rows, segment_max

LENGTHS = torch.tensor([3, 0, 1, 7, 2, 0])


def rows(*shape: int) -> Tensor:
    return torch.randn(int(LENGTHS.sum()), *shape, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3)])
def test_equals_loop(shape: tuple[int, ...]) -> None:
    x = rows(*shape)
    runs = x.split(LENGTHS.tolist())
    expected = torch.stack([run.amax(0) if len(run) else x.new_zeros(shape) for run in runs])
    assert torch.equal(segment_max(x, LENGTHS), expected)
    segment_csr = segment.scatter_segment_csr()
    if segment_csr is not None:  # the kernel that GPUs use
        ptr = torch.cat([LENGTHS.new_zeros(1), LENGTHS.cumsum(0)])
        assert torch.equal(segment_csr(x, ptr, reduce="max"), expected)


def test_gradients() -> None:
    x = rows(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: segment_max(x, LENGTHS), (x,))
    order = torch.randperm(len(x))
    assert torch.autograd.gradcheck(lambda x: permute_rows(x, order, order.argsort()), (x,))
    index = torch.randint(len(x), (40,))
    assert torch.equal(repeat_rows(x, index), x[index])
    assert torch.autograd.gradcheck(lambda x: repeat_rows(x, index), (x,))


def test_ties_share_the_gradient() -> None:
    x = torch.tensor([2.0, 1.0, 2.0, 5.0], requires_grad=True)
    segment_max(x, torch.tensor([3, 1])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.5, 0, 0.5, 1]


def test_no_rows() -> None:
    assert segment_max(torch.empty(0, 2), torch.tensor([0, 0])).tolist() == [[0, 0], [0, 0]]


def test_half_precision_gradients_are_summed_in_float32() -> None:
    x = torch.zeros(1, 1, dtype=torch.bfloat16, requires_grad=True)
    repeat_rows(x, torch.zeros(1000, dtype=torch.long)).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == 1000, "bfloat16 sums of ones stop at 256"


@pytest.mark.parametrize("kind", ["missing", "broken library", "another CUDA"])
def test_torch_scatter_that_cannot_be_imported(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the package there is no warning; with one of another torch there is one, and the plain path."""
    package = tmp_path / "torch_scatter"
    package.mkdir()
    (package / "_segment_csr.so").write_bytes(b"not a library")
    (package / "__init__.py").write_text(
        "import torch\ntorch.ops.load_library(__file__.replace('__init__.py', '_segment_csr.so'))\n"
        if kind == "broken library"
        else "raise RuntimeError('compiled with different CUDA versions')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch_scatter", raising=False)
    if kind == "missing":
        monkeypatch.setitem(sys.modules, "torch_scatter", None)
    segment.scatter_segment_csr.cache_clear()
    found = [segment.scatter_segment_csr() for _ in range(2)]
    segment.scatter_segment_csr.cache_clear()
    assert found == [None, None]
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == (kind != "missing")
    assert all(text.startswith("torch-scatter cannot be imported (") for text in warnings)
