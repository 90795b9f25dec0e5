"""The device and the mode in which a trained network runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from pcseg.errors import UserError, is_out_of_memory, reason


def choose_device(name: str) -> torch.device:
    """Return the device ``name``; ``auto`` is a GPU if there is one.

    Raises:
        UserError: The device does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"{device.type} computes nothing here")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises AssertionError
        raise UserError(f"--device {name}: not available. Choose auto, cpu or cuda.") from error
    return device


def device_of(network: nn.Module) -> torch.device:
    """Return the device of the parameters; the CPU without any."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Set evaluation mode without gradients, and restore the mode of the network afterwards.

    Raises:
        UserError: A forward pass runs out of memory.
    """
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        device = device_of(network)
        other = "choose a smaller model" if device.type == "cpu" else "pass --device cpu"
        raise UserError(
            f"--device {device}: a forward pass does not fit into memory ({reason(error, most=80)}). Lower "
            f"--points_per_pass of scans, or {other}."
        ) from error
    finally:
        network.train(training)
