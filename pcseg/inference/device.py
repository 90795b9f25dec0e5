"""The device, the precision and the mode in which a trained network runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn
from torch.backends import cuda, cudnn

from pcseg.errors import UserError, is_out_of_memory, reason, require_choice

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
"""Arithmetic of predictions: single precision, products in TF32, or automatic mixed precision with 16 bits."""

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str, precision: Precision = "fp32") -> torch.device:
    """Return the device ``name``; ``auto`` is a GPU if there is one.

    Raises:
        UserError: The device does not exist, or cannot compute in this precision.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"{device.type} computes nothing here")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises AssertionError
        raise UserError(f"--device {name}: not available. Choose auto, cpu or cuda.") from error
    if device.type == "cpu" and precision in ("tf32", "fp16"):
        raise UserError(f"--precision {precision}: needs a GPU. Use fp32 or bf16.")
    if device.type == "cuda" and precision in ("tf32", "bf16"):
        old = torch.version.hip is None and torch.cuda.get_device_capability(device) < (8, 0)
        if old or (precision == "tf32" and torch.version.hip is not None):
            name = torch.cuda.get_device_name(device)
            raise UserError(f"--precision {precision}: {name} does not support it. Use fp32 or fp16.")
    return device


def device_of(network: nn.Module) -> torch.device:
    """Return the device of the parameters; the CPU without any."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


@contextmanager
def evaluating(network: nn.Module, precision: Precision = "fp32") -> Iterator[None]:
    """Set evaluation mode without gradients, and restore the mode of the network afterwards.

    Args:
        precision: Arithmetic on the device of the network. On a GPU ``fp32`` also turns off TF32 in the convolutions
            of images, which PyTorch uses by default.

    Raises:
        UserError: A forward pass runs out of memory.
    """
    training, device = network.training, device_of(network).type
    require_choice("--precision", precision, Precision)
    convolutions = cudnn.conv  # pyright: ignore[reportAttributeAccessIssue]
    products = [cuda.matmul, convolutions] if device == "cuda" else []
    before = [each.fp32_precision for each in products]
    network.eval()
    try:
        for each in products:
            each.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        mixed = torch.autocast(device, HALF.get(precision), enabled=precision in HALF)
        with torch.inference_mode(), mixed:
            yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        other = "choose a smaller model" if device == "cpu" else "pass --device cpu"
        raise UserError(
            f"--device {device_of(network)}: a forward pass does not fit into memory ({reason(error, most=80)}). Lower "
            f"--points_per_pass of scans, or {other}."
        ) from error
    finally:
        for each, value in zip(products, before):
            each.fp32_precision = value
        network.train(training)
