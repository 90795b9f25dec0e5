"""Count the kernel launches and host waits that a training step would cost on a GPU, without a GPU.

Integers are real and lie on the CPU; floating point has no values (it is on the meta device), so that a batch of any
size passes in seconds. To the code under test every tensor seems to be on a GPU, with automatic mixed precision.
"""

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from pcseg.ops import serialization

GPU = torch.device("cuda:0")

# Kernels of an operator on CUDA, roughly; one if it is not listed, none for views and allocations.
KERNELS = {
    "sort": 8, "argsort": 8, "bincount": 4, "_unique2": 15, "unique_dim": 20, "unique_consecutive": 6, "nonzero": 4,
    "cumsum": 2, "topk": 6, "native_batch_norm": 2, "native_batch_norm_backward": 2, "segment_reduce": 4,
    "_segment_reduce_backward": 4, "equal": 2, "aminmax": 2,
}  # fmt: skip
# Operators whose result or its size the host reads.
READS = {
    "nonzero": 1, "_unique2": 1, "unique_dim": 1, "unique_consecutive": 1, "masked_select": 1, "equal": 1,
    "_local_scalar_dense": 1, "bincount": 2,
}  # fmt: skip
FREE = {
    "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "lift_fresh", "detach", "alias",
    "_unsafe_view", "_reshape_alias", "set_", "resize_", "is_same_size", "_local_scalar_dense",
}  # fmt: skip
VALUES = {Tensor.tolist, Tensor.cpu, Tensor.item, Tensor.__bool__, Tensor.__int__, Tensor.__float__}
FOREACH = "torch.utils._foreach_utils._get_foreach_kernels_supported_devices"
FOREACH_TENSORS, FOREACH_VALUES = 30, 320 * 65536
"""Tensors and values of one launch of a ``foreach`` operator."""

HALF = {F.linear, torch.matmul, torch.mm, torch.bmm, torch.addmm, F.scaled_dot_product_attention}
HALF |= {Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__, Tensor.mm, torch.conv1d, F.conv1d}
FULL = {F.layer_norm, F.cross_entropy, torch.softmax, Tensor.softmax, Tensor.log_softmax, torch.log_softmax}
FULL |= {Tensor.exp, Tensor.sum, torch.sum, F.normalize, F.binary_cross_entropy_with_logits}
"""Functions that autocast runs in half and in full precision (those that the models call)."""


def line_of_code() -> str:
    """Return the innermost line of pcseg that is running."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if "/pcseg/" in name and "/site-packages/" not in name:
            return f"{name.rsplit('/pcseg/', 1)[1]}:{frame.f_lineno}"
        frame = frame.f_back
    return "libraries"


class Counts(TorchDispatchMode):
    """Counts launches and waits by line; operators with floating point run on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.on_host = False
        self.launches: Counter[str] = Counter()
        self.waits: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name, line = kwargs or {}, func._schema.name.split("::")[1], line_of_code()
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if self.on_host or (tensors and all(on_host(t) for t in tensors)):
            return func(*args, **kwargs)
        indexed = args[1] if name in ("index", "index_put_", "_index_put_impl_") else ()
        masks = sum(t is not None and t.dtype == torch.bool for t in indexed)
        reads = READS.get(name, 0) + masks
        reads += name == "repeat_interleave" and kwargs.get("output_size") is None
        reads += 2 * (name == "segment_reduce" and not kwargs.get("unsafe", False))
        if reads:
            self.waits[name, line] += reads
        self.launches[line] += self._kernels(func, name, tensors) + 4 * masks
        if not any(t.is_meta for t in tensors):
            return func(*args, **kwargs)
        if name == "_local_scalar_dense":
            return 1.0
        if masks:
            at = [all_rows(t) if t is not None and t.dtype == torch.bool else [t] for t in indexed]
            args = (args[0], [*chain.from_iterable(at)], *args[2:])
        args, kwargs = tree_map(without_values, (args, kwargs))
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("meta")
        return func(*args, **kwargs)

    def _kernels(self, func, name: str, tensors: list[Tensor]) -> int:
        returned = [result.alias_info for result in func._schema.returns]
        if name in FREE or any(alias is not None and not alias.is_write for alias in returned):
            return 0
        if name.startswith(("_foreach", "_fused")):
            values = sum(t.numel() for t in tensors)
            return max(-(-len(tensors) // FOREACH_TENSORS), -(-values // FOREACH_VALUES))
        return KERNELS.get(name, 1)

    def clear(self) -> None:
        self.launches.clear()
        self.waits.clear()

    def __add__(self, other: "Counts") -> "Counts":
        total = Counts()
        total.launches, total.waits = self.launches + other.launches, self.waits + other.waits
        return total

    def summary(self) -> tuple[int, int]:
        """Return the numbers of launches and of waits."""
        return sum(self.launches.values()), sum(self.waits.values())


def all_rows(mask: Tensor) -> list[Tensor]:
    """Return the index of a mask; a mask without values selects everything."""
    return list((torch.ones(mask.shape, dtype=torch.bool) if mask.is_meta else mask).nonzero().unbind(1))


def without_values(value):
    if not isinstance(value, Tensor) or value.is_meta:
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def is_gpu(device) -> bool:
    return device is not None and torch.device(device).type != "cpu"


def on_host(x) -> bool:
    """Return whether a tensor was made on the CPU or copied there."""
    return getattr(x, "made_on_host", False)


class OnGPU(TorchFunctionMode):
    """Lets tensors seem to be on a GPU, casts as autocast does, and counts waits that dispatch does not see.

    Results of tensors on the host, and of none, are on the host unless they are made with ``device=``.
    """

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts, self.cast = counts, {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ == "__get__":
            return self._property(func, args[0])
        kwargs = dict(kwargs or {})
        if func is Tensor.to and "device" in kwargs:
            args = (args[0], kwargs.pop("device"), *args[1:])
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        host = all(on_host(x) for x in tensors) and not is_gpu(kwargs.get("device"))
        if func in VALUES:
            return self._read(func, args[0], host)
        if func is Tensor.to and len(args) > 1 and isinstance(args[1], torch.device | str):
            assert is_gpu(args[1]), "use Tensor.cpu"
            if host and not kwargs.get("non_blocking"):
                self.counts.waits["to", line_of_code()] += 1
            with torch._C.DisableTorchFunction():
                return args[0].clone() if host else args[0]
        if is_gpu(kwargs.get("device")):
            assert func not in (torch.tensor, torch.as_tensor), "waits for the copy"
            real = func in (torch.zeros, torch.ones, torch.rand, torch.empty) and kwargs.get("dtype") is None
            real = real or (kwargs.get("dtype") is not None and kwargs["dtype"].is_floating_point)
            kwargs["device"] = "meta" if real else "cpu"
        if torch.is_autocast_enabled("cuda") and (func in HALF or func in FULL) and not host:
            args = tree_map(lambda x: self._cast(x, torch.bfloat16 if func in HALF else torch.float32), args)
        self.counts.on_host, before = host, self.counts.on_host
        out = func(*args, **kwargs)
        self.counts.on_host = before
        if host:
            for x in tree_leaves(out):
                if isinstance(x, Tensor):
                    x.made_on_host = True
        return out

    def _property(self, func, x: Tensor):
        if func == Tensor.device.__get__:
            return torch.device("cpu") if on_host(x) else GPU
        return not on_host(x) if func == Tensor.is_cuda.__get__ else func(x)

    def _read(self, func, x: Tensor, host: bool):
        """Return the values of a tensor, 1 if it has none."""
        if not host:
            self.counts.waits[func.__name__, line_of_code()] += 1
        if x.is_meta:
            return {Tensor.__bool__: True, Tensor.__int__: 1}.get(func, 1.0)
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            out = func(x.clone() if func is Tensor.cpu else x)
        if func is Tensor.cpu:
            out.made_on_host = True
        return out

    def _cast(self, x, dtype: torch.dtype):
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.dtype in (dtype, torch.float64):
            return x
        if not (x.is_leaf and x.requires_grad):
            return torch.Tensor.to(x, dtype)
        if id(x) not in self.cast:  # autocast casts a weight once per step
            self.cast[id(x)] = torch.Tensor.to(x, dtype)
        return self.cast[id(x)]


@contextmanager
def counting(*, half: bool = True) -> Iterator[Counts]:
    """Count what happens inside, also in backward passes."""
    counts = Counts()
    node = torch.autograd.function.BackwardCFunction
    apply = node.apply

    def applied(self, *grads):  # the autograd engine leaves function modes behind
        with OnGPU(counts):
            return apply(self, *grads)

    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    with (
        warnings.catch_warnings(),
        mock.patch.object(node, "apply", applied),
        mock.patch("torch.cuda.get_device_capability", return_value=(9, 0)),
        mock.patch(FOREACH, return_value=["cuda", "meta"]),
        # extensions take no tensors without values
        mock.patch("pcseg.ops.segment.scatter_segment_csr", return_value=None),
        mock.patch("pcseg.ops.triton_conv.usable", return_value=False),
    ):
        warnings.filterwarnings("ignore", ".*CUDA is not available.*")
        torch.set_autocast_enabled("cuda", half)
        torch.set_autocast_dtype("cuda", torch.bfloat16)
        try:
            with OnGPU(counts), counts:
                yield counts
        finally:
            serialization._tables.cache_clear()  # made for a device that exists only here
            torch.set_autocast_enabled("cuda", before[0])
            torch.set_autocast_dtype("cuda", before[1])
