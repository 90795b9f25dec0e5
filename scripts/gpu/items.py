"""The measurements of ``scripts/gpu_check.sh``: each returns numbers and texts by name."""

import os
import platform
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from benchmarks.conv import surface_voxels
from gpu.workload import Setting, Step, plain_convolutions
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pcseg.data.sample import Sample
from pcseg.heads import CTBody, EncBody, LinearHead, PointHead, RCCABody, SlabBody
from pcseg.inference.device import Precision
from pcseg.inference.points import PointOptions, predict_scene
from pcseg.network import Network
from pcseg.ops import groups, sparse_conv, triton_conv
from pcseg.ops.kernel_lookup import coarsen, submanifold_map
from pcseg.ops.voxels import VoxelSet

BODIES = {"ccnet": RCCABody, "ctnet": CTBody, "encnet": EncBody, "slab": SlabBody}
HEADS = {name: partial(PointHead, level=2, body=body) for name, body in BODIES.items()}
PLAIN = (sparse_conv.gather_product, sparse_conv.weight_gradient)
KERNELS = (triton_conv.product, triton_conv.weight_gradient)


def machine(setting: Setting) -> dict[str, Any]:
    """Versions, and properties of the GPU."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpus": os.cpu_count(),
    }
    for name in ("triton", "spconv-triton", "lightning", "torch-geometric"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    if setting.device == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": gpu.name, "memory GB": round(gpu.total_memory / 1e9, 1), "capability": f"{gpu.major}.{gpu.minor}",
            "cudnn": torch.backends.cudnn.version(),
            "bf16": torch.cuda.is_bf16_supported(including_emulation=False), "count": torch.cuda.device_count(),
        }  # fmt: skip
    found["spconv-triton is used"] = setting.has_triton
    return found


def tests(setting: Setting) -> dict[str, Any]:
    """Tests that need a GPU."""
    files = ["tests/heads", "tests/backbones", "tests/official", "tests/ops"]
    words = [
        "-q",
        "-k",
        "gpu",
        "-p",
        "no:cacheprovider",
        "--tb=line",
        *(["--collect-only"] if setting.small else []),
    ]
    done = subprocess.run([sys.executable, "-m", "pytest", *files, *words], capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith("FAILED")]
    return {"status": done.returncode, "summary": lines[-1] if lines else done.stderr[-300:]} | (
        {"failed": failed} if failed else {}
    )


def waits(setting: Setting) -> dict[str, Any]:
    """Host waits of one training step per head, by line."""
    batch, found = setting.batch(), {}
    for name, head in HEADS.items():
        step = Step(setting, setting.unet(head))
        step(batch)
        with warnings.catch_warnings(record=True) as caught, synchronizations(setting):
            warnings.simplefilter("always")
            step(batch)
        lines = Counter(f"{one.filename.split('/pcseg/')[-1]}:{one.lineno}" for one in caught)
        found[name] = {"waits": sum(lines.values()), "lines": dict(lines.most_common(12))}
    return found


@contextmanager
def synchronizations(setting: Setting) -> Iterator[None]:
    """Warn at every line where the host waits for the GPU."""
    if setting.device == "cuda":
        torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        if setting.device == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def unet_step(setting: Setting) -> dict[str, Any]:
    """Milliseconds of the parts of a step, launches and memory, with and without spconv-triton."""
    with plain_convolutions():
        found = {"plain": step_parts(setting, setting.unet())}
    if setting.has_triton:
        found["spconv-triton"] = step_parts(setting, setting.unet())
    return found


def step_parts(setting: Setting, network: Network) -> dict[str, Any]:
    """Return the milliseconds of the parts of a training step, its kernels and the peak of memory."""
    step, batch = Step(setting, network), setting.batch()
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    if setting.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    whole = setting.ms(lambda: step(batch))
    peak = torch.cuda.max_memory_allocated() / 1e9 if setting.device == "cuda" else 0.0
    used = SimpleNamespace(**vars(batch), voxels=VoxelSet(batch.grid_pos, batch.ptr))
    forward = setting.ms(lambda: step.forward(used))
    both = setting.ms(lambda: step.forward(used).backward())
    found = {
        "step": whole, "forward": forward, "backward": round(both - forward, 3),
        "optimizer": setting.ms(step.optimizer.step), "average": setting.ms(lambda: average.update_parameters(network)),
    }  # fmt: skip
    found["maps and rest"] = round(whole - both - found["optimizer"], 3)
    return found | {"kernels": kernel_count(setting, lambda: step(batch)), "peak GB": round(peak, 2)}


def kernel_count(setting: Setting, function: Callable[[], object]) -> int | None:
    """Return the number of kernels that a call launches on the GPU."""
    if setting.device != "cuda":
        return None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        function()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())


def constants(setting: Setting) -> dict[str, Any]:
    """Milliseconds of a convolution and of axis attention for values of the constants for GPUs."""
    batch, found = setting.batch(), {}
    kernel_map = submanifold_map(VoxelSet(batch.grid_pos, batch.ptr), 3)
    x, weight = (
        torch.randn(len(batch.x), 32, device=setting.device),
        torch.randn(27, 32, 32, device=setting.device),
    )
    x, weight = (tensor.to(torch.bfloat16).requires_grad_() for tensor in (x, weight))
    place = "cuda" if setting.device == "cuda" else "cpu"

    def convolution() -> None:
        sparse_conv.sparse_conv(x, weight, kernel_map).sum().backward()

    ccnet = Step(setting, setting.unet(HEADS["ccnet"]))
    tried = [
        (sparse_conv.GATHERED, convolution, [1 << 22, 1 << 24, 1 << 26, 1 << 28]),
        (groups.SMALL_BLOCK, lambda: ccnet(batch), [1 << 15, 1 << 20]),
    ]
    for name, (limits, function, values) in zip(("GATHERED", "SMALL_BLOCK"), tried):
        before = limits[place]
        for value in values[:: 2 if setting.small else 1]:
            limits[place] = value
            with plain_convolutions():
                found[f"{name} {value:g}"] = setting.ms(function, rounds=3)
        limits[place] = before
    return found


def convolutions(setting: Setting) -> dict[str, Any]:
    """Errors of spconv-triton against plain PyTorch, and milliseconds of both, per level of the U-Net."""
    batch = setting.batch()
    voxels, found = VoxelSet(batch.grid_pos, batch.ptr), {}
    for level, channels in enumerate((32, 64, 128, 256)):
        kernel_map = submanifold_map(voxels, 3)
        shape = {
            "rows": len(voxels),
            "channels": channels,
            "pairs per row": round(kernel_map.num_pairs / len(voxels), 1),
        }
        found[f"level {level}"] = shape | both_paths(setting, kernel_map, channels)
        voxels = coarsen(voxels).voxels
    return found


def both_paths(setting: Setting, kernel_map: Any, channels: int) -> dict[str, Any]:
    """Return milliseconds of plain PyTorch and of spconv-triton, and the largest differences of their results."""
    found: dict[str, Any] = {}
    x = torch.randn(kernel_map.num_in, channels, device=setting.device, dtype=torch.bfloat16)
    weight = torch.randn(27, channels, channels, device=setting.device, dtype=torch.bfloat16)
    calls = {
        "product": lambda path, *tensors: path[0](*tensors, kernel_map),
        "weight gradient": lambda path, x, _: path[1](x, x, kernel_map),
    }
    fast = setting.has_triton
    for name, call in calls.items():
        with plain_convolutions():
            found[f"{name}, plain"] = setting.ms(partial(call, PLAIN, x, weight))
        if not fast:
            continue
        found[f"{name}, spconv-triton"] = setting.ms(partial(call, KERNELS, x, weight))
        for dtype in triton_conv.DTYPES:
            tensors = [tensor.to(dtype) for tensor in (x, weight)]
            with plain_convolutions():
                exact = call(PLAIN, *tensors).float()
            error = (call(KERNELS, *tensors).float() - exact).abs().max() / exact.abs().max()
            found[f"{name}, error {str(dtype)[6:]}"] = float(f"{float(error):.1e}")
    return found


def ptv3_step(setting: Setting) -> dict[str, Any]:
    """The parts of a training step of PTv3."""
    return step_parts(setting, setting.ptv3())


def heads(setting: Setting) -> dict[str, Any]:
    """Milliseconds of a training step with each head on the U-Net."""
    batch, found = setting.batch(), {}
    for name, head in {"linear": LinearHead, **HEADS}.items():
        step = Step(setting, setting.unet(head))
        found[name] = setting.ms(lambda step=step: step(batch))
    return found


def prediction(setting: Setting) -> dict[str, Any]:
    """Milliseconds per scene in fp32, TF32 and bf16, and the share of equal labels."""
    pos = 0.05 * surface_voxels(0, setting.voxels).numpy().astype(np.float32)
    zeros = np.zeros(len(pos), np.int16)
    scene = Sample(
        name="room", pos=pos, color=np.zeros_like(pos), label=zeros, instance=zeros.astype(np.int32)
    )
    network, found, labels = setting.unet(), {}, {}
    precisions: tuple[Precision, ...] = (
        ("fp32", "bf16") if setting.device == "cpu" else ("fp32", "tf32", "bf16")
    )
    for name in precisions:
        options, features = PointOptions(precision=name), ("color", "height")
        call = partial(predict_scene, network, scene, grid_size=0.05, features=features, options=options)
        found[name] = setting.ms(call)
        labels[name] = call().label
        found[f"{name}, labels as in fp32"] = float((labels[name] == labels["fp32"]).mean())
    return found


def repeats(setting: Setting) -> dict[str, Any]:
    """Whether the same step twice gives the same bits."""
    batch, runs = setting.batch(), []
    for _ in range(2):
        network = setting.unet(HEADS["ccnet"])
        torch.manual_seed(1)
        loss = Step(setting, network).forward(batch)
        loss.backward()
        runs.append({"loss": loss.detach()} | {name: p.grad for name, p in network.named_parameters()})
    differ = [name for name in runs[0] if not torch.equal(runs[0][name], runs[1][name])]
    return {"tensors": len(runs[0]), "differ": len(differ), "first": differ[:3]}


ITEMS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "machine": machine, "convolutions": convolutions, "unet_step": unet_step, "ptv3_step": ptv3_step,
    "waits": waits, "heads": heads, "prediction": prediction, "repeats": repeats,
    "tests": tests, "constants": constants,
}  # fmt: skip
