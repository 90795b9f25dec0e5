"""A GPU that does not exist: tensors on ``cuda`` stay in CPU memory, and their storages are marked.

Inside :func:`fake_gpu`, ``Tensor.device``, ``Tensor.to``, factories and ``torch.cuda`` answer as with one GPU. An
operator that gets tensors of both devices raises the error that a real GPU raises.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

marks: dict[int, StorageWeakRef] = {}
"""Storages on the GPU. A weak reference keeps the address of its storage from being used again."""

own_backward: list[Any] = []
"""The backward pass of an ``autograd.Function`` that runs."""

NO_CPU_SCALARS = {
    "addmm", "bmm", "cat", "gather", "index_add_", "index_copy_", "index_select", "mm", "scatter", "scatter_", "stack",
}  # fmt: skip
"""Operators that take no CPU scalar beside tensors of a GPU."""

COPIES = {"copy_", "_to_copy", "_foreach_copy_"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}

ANSWERS = {
    "is_available": True, "device_count": 1, "current_device": 0, "set_device": None, "synchronize": None,
    "get_device_capability": (9, 0), "is_bf16_supported": True, "get_device_name": "emulated",
    "memory_allocated": 0, "max_memory_allocated": 0, "reset_peak_memory_stats": None,
}  # fmt: skip
"""Results of the functions of ``torch.cuda``."""


def on_gpu(tensor: Tensor) -> bool:
    """Return whether a tensor is on the GPU."""
    return tensor.untyped_storage()._cdata in marks


def mark(tensor: Tensor, *, gpu: bool = True) -> Tensor:
    """Put a new tensor on the GPU or on the CPU."""
    storage = tensor.untyped_storage()
    marks.pop(storage._cdata, None)
    if gpu:
        marks[storage._cdata] = StorageWeakRef(storage)
    return tensor


def tensors_in(*values: Any) -> list[Tensor]:
    """Return the tensors of nested sequences, faster than ``tree_leaves``."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += tensors_in(*value)
    return found


class Operators(TorchDispatchMode):
    """Check the devices of the arguments of every operator, and mark its results."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = tensors_in(args, *kwargs.values())
        gpu = [tensor for tensor in tensors if on_gpu(tensor)]
        name = func._schema.name.split("::")[1]
        if gpu and len(gpu) < len(tensors) and name not in COPIES:
            require_one_device(name, args, tensors)
        out = GPU_ONLY.get(func.__name__, func)(*args, **kwargs)
        if gpu or (not tensors and in_engine()):
            seen = {tensor.untyped_storage()._cdata for tensor in tensors}
            for tensor in tensors_in(out):
                if tensor.untyped_storage()._cdata not in seen:
                    mark(tensor)
        return out


def in_engine() -> bool:
    """Return whether autograd itself runs, which makes zeros for missing gradients on the device of the results."""
    return torch._C._current_graph_task_id() >= 0 and not own_backward


def require_one_device(name: str, args: Any, tensors: list[Tensor]) -> None:
    wrong = [tensor for tensor in tensors if not on_gpu(tensor) and (tensor.dim() or name in NO_CPU_SCALARS)]
    if name in INDEXING and on_gpu(args[0]):  # indices may be on the CPU
        wrong = [tensor for tensor in wrong if not any(tensor is index for index in args[1])]
    if wrong:
        found = ", ".join(f"{tuple(t.shape)} on {'cuda' if on_gpu(t) else 'cpu'}" for t in tensors)
        raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got {found}")


class Functions(TorchFunctionMode):
    """Answer questions about devices, and move tensors by copies."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in METHODS:
            return METHODS[func](*args, **kwargs)
        if func == Tensor.__deepcopy__:
            return mark(func(*args), gpu=on_gpu(args[0]))
        device = kwargs.get("device")
        if device is None:
            return func(*args, **kwargs)
        return mark(func(*args, **kwargs | {"device": "cpu"}), gpu=torch.device(device).type == "cuda")


def move(tensor: Tensor, *args: Any, device: Any = None, dtype: Any = None, **kwargs: Any) -> Tensor:
    """Compute ``tensor.to(...)``."""
    for value in args:
        if isinstance(value, Tensor):
            device, dtype = device_of(value), value.dtype
        elif isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, str | torch.device):
            device = value
    out = Tensor.to(tensor, dtype or tensor.dtype, **kwargs)
    gpu = on_gpu(tensor) if device is None else torch.device(device).type == "cuda"
    if gpu == on_gpu(tensor):
        return out
    return mark(out.clone() if out is tensor else out, gpu=gpu)


def device_of(tensor: Tensor) -> torch.device:
    return torch.device("cuda:0" if on_gpu(tensor) else "cpu")


def as_array(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
    if on_gpu(tensor):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
    return Tensor.__array__(tensor, *args)


METHODS: dict[Any, Callable] = {
    Tensor.device.__get__: device_of,
    Tensor.is_cuda.__get__: on_gpu,
    Tensor.is_cpu.__get__: lambda tensor: not on_gpu(tensor),
    Tensor.get_device: lambda tensor: 0 if on_gpu(tensor) else -1,
    Tensor.to: move,
    Tensor.cpu: lambda tensor, **options: move(tensor, "cpu", **options),
    Tensor.cuda: lambda tensor, *options, **more: move(tensor, "cuda"),
    Tensor.pin_memory: lambda tensor, *options: tensor,
    Tensor.new_tensor: lambda tensor, *data, **options: mark(
        tensor.new_tensor(*data, **options), gpu=on_gpu(tensor)
    ),
    Tensor.numpy: as_array,
    Tensor.__array__: as_array,
}


def attend(
    q: Tensor, k: Tensor, v: Tensor, starts: Tensor, key_starts: Tensor, *_: Any, scale: float
) -> tuple[Tensor, ...]:
    """Compute ``aten::_flash_attention_forward``, one sequence at a time."""
    out, lse = torch.empty_like(q), q.new_empty(q.shape[1], len(q), dtype=torch.float32)
    for (a, b), (c, d) in zip(pairwise(starts.tolist()), pairwise(key_starts.tolist())):
        logits = scale * torch.einsum("qhc,khc->hqk", q[a:b].float(), k[c:d].float())
        lse[:, a:b] = logits.logsumexp(2)
        out[a:b] = torch.einsum("hqk,khc->qhc", logits.softmax(2), v[c:d].float())
    unused = torch.zeros(2, dtype=torch.uint64)
    return out, lse, unused, unused, q.new_empty(0)


def attend_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, starts: Tensor, key_starts: Tensor,
    *_: Any, scale: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Compute ``aten::_flash_attention_backward``, one sequence at a time."""
    grad, wide_q, wide_k, wide_v, out = (x.float() for x in (grad, q, k, v, out))
    dq, dk, dv = (torch.zeros_like(x) for x in (wide_q, wide_k, wide_v))
    for (a, b), (c, d) in zip(pairwise(starts.tolist()), pairwise(key_starts.tolist())):
        weights = (scale * torch.einsum("qhc,khc->hqk", wide_q[a:b], wide_k[c:d]) - lse[:, a:b, None]).exp()
        dv[c:d] += torch.einsum("hqk,qhc->khc", weights, grad[a:b])
        inner = torch.einsum("qhc,khc->hqk", grad[a:b], wide_v[c:d])
        inner -= (grad[a:b] * out[a:b]).sum(2).t()[:, :, None]
        dq[a:b] += scale * torch.einsum("hqk,khc->qhc", weights * inner, wide_k[c:d])
        dk[c:d] += scale * torch.einsum("hqk,qhc->khc", weights * inner, wide_q[a:b])
    return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)


GPU_ONLY: dict[str, Callable] = {
    "_flash_attention_forward.default": attend,
    "_flash_attention_backward.default": attend_backward,
    "bmm.dtype": lambda a, b, dtype: a.to(dtype) @ b.to(dtype),
}
"""Operators without an implementation for CPUs."""


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Add a GPU to this process."""
    enabled, dtype, init = torch.is_autocast_enabled, torch.get_autocast_dtype, torch.autocast.__init__
    apply = BackwardCFunction.apply

    def on_cpu(device_type: str) -> str:
        return "cpu" if device_type == "cuda" else device_type

    def backward(node: Any, *gradients: Tensor) -> Any:  # the engine of autograd leaves the mode behind
        own_backward.append(node)
        try:
            with Functions():
                return apply(node, *gradients)
        finally:
            own_backward.pop()

    replaced: list[tuple[Any, str, Any]] = [
        (torch, "is_autocast_enabled", lambda device_type="cuda": enabled(on_cpu(device_type))),
        (torch, "get_autocast_dtype", lambda device_type: dtype(on_cpu(device_type))),
        (torch.autocast, "__init__", lambda self, device, *a, **k: init(self, on_cpu(device), *a, **k)),
        (torch.accelerator, "current_accelerator", lambda *_, **__: None),
        (BackwardCFunction, "apply", backward),
        *((torch.cuda, name, lambda *_, answer=answer, **__: answer) for name, answer in ANSWERS.items()),
    ]
    with ExitStack() as stack:
        for owner, name, function in replaced:
            stack.enter_context(patch.object(owner, name, function))
        stack.enter_context(Functions())
        stack.enter_context(Operators())
        yield
