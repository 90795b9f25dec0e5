"""Run the convolutions of spconv-triton on the CPU, by Triton's interpreter, and print their errors as JSON.

A program of its own, because Triton reads ``TRITON_INTERPRET`` when it is imported: ``python triton_on_cpu.py FILES``
also checks golden files of the official code.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch
import triton.language as tl
from check_spconv import CHECKS
from check_spunet import CHECKS as NETWORK_CHECKS
from golden import Golden
from helpers.dense_conv import random_voxels
from torch import Tensor
from triton.runtime import interpreter

from pcseg.ops import triton_conv
from pcseg.ops.kernel_lookup import coarsen, submanifold_map
from pcseg.ops.kernel_map import KernelMap
from pcseg.ops.sparse_conv import inverse_conv, sparse_conv

C, C_OUT = 16, 24

CASES: dict[str, tuple[Callable[..., Tensor], int, Callable[..., KernelMap]]] = {
    "submanifold 1": (sparse_conv, 1, lambda voxels: submanifold_map(voxels, 1)),
    "submanifold 3": (sparse_conv, 27, lambda voxels: submanifold_map(voxels, 3)),
    "submanifold 3, dilation 2": (sparse_conv, 27, lambda voxels: submanifold_map(voxels, 3, 2)),
    "submanifold 5": (sparse_conv, 125, lambda voxels: submanifold_map(voxels, 5)),
    "strided 2": (sparse_conv, 8, lambda voxels: coarsen(voxels).kernel_map),
    "strided 3": (sparse_conv, 27, lambda voxels: coarsen(voxels, 3, 2, padding=1).kernel_map),
    "inverse 2": (inverse_conv, 8, lambda voxels: coarsen(voxels).kernel_map),
    "inverse 3": (inverse_conv, 27, lambda voxels: coarsen(voxels, 3, 2, padding=1).kernel_map),
}
HALF = ("submanifold 3", "inverse 2")

launched: list[str] = []


def widen(handle: Any) -> Any:
    """Return bfloat16 numbers as float32: the interpreter multiplies their bits as integers."""
    if handle.dtype.scalar != tl.bfloat16:
        return handle
    return interpreter.TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)


def results(
    operation: Callable[..., Tensor], kernel_map: KernelMap, x: Tensor, weight: Tensor, grad: Tensor
) -> list[Tensor]:
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    out = operation(x, weight, kernel_map)
    return [out.detach(), *torch.autograd.grad(out, (x, weight), grad)]


def errors(name: str, dtype: torch.dtype) -> list[float]:
    """Return the largest errors of output, input gradient and weight gradient, relative to the largest value."""
    operation, volume, build = CASES[name]
    kernel_map = build(random_voxels([50, 0, 30], edge=5))
    rows = (kernel_map.num_in, kernel_map.num_out)[:: 1 if operation is sparse_conv else -1]
    x, grad = torch.randn(rows[0], C).to(dtype), torch.randn(rows[1], C_OUT).to(dtype)
    weight = torch.randn(volume, C, C_OUT).to(dtype)
    launched.clear()
    found = results(operation, kernel_map, x, weight, grad)
    parts = 5 if volume == 125 else 1
    assert launched == ["_gather_gemm_kernel"] * 2 * parts + ["_dweight_masked_kernel"]
    if name == "inverse 2":
        again = results(operation, kernel_map, x, weight, grad)
        assert all(torch.equal(a, b) for a, b in zip(found, again)), "results repeat"
    exact = results(operation, kernel_map, x.double(), weight.double(), grad.double())
    return [float((a.double() - b).abs().max() / b.abs().max()) for a, b in zip(found, exact)]


def main() -> None:
    torch.manual_seed(0)
    plain_dot, launch = interpreter.InterpreterBuilder.create_dot, triton_conv._launch

    def dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return plain_dot(self, widen(a), widen(b), *rest)

    def counted(name: str, *arguments: Any, **options: Any) -> None:
        launched.append(name)
        launch(name, *arguments, **options)

    interpreter.InterpreterBuilder.create_dot = dot
    triton_conv._launch = counted
    triton_conv.takes = lambda x, width, kernel_map: x.dtype != torch.float64  # as if on a GPU
    report = {f"float32, {name}": errors(name, torch.float32) for name in CASES}
    for dtype in (torch.float16, torch.bfloat16):
        report |= {f"{str(dtype)[6:]}, {name}": errors(name, dtype) for name in HALF}
    launched.clear()
    golden = [Path(name) for name in sys.argv[1:]]
    for path in golden:
        check = next(
            check for start, check in (CHECKS | NETWORK_CHECKS).items() if path.name.startswith(start)
        )
        check(Golden(path))
    print(json.dumps({"errors": report, "golden": len(launched)}))


if __name__ == "__main__":
    main()
