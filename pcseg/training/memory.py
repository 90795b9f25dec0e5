"""Memory of a training step: what it uses, what there is, and batches cropped to what fits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch_geometric.data import Batch

from pcseg.errors import UserError
from pcseg.inference.blocks import cut_into_blocks
from pcseg.labels import IGNORE_INDEX

SHARE = 0.8
"""Share of the free memory that a step may use."""

MARGIN = 20
"""Voxels of context around a block of validation."""

SMALLEST = 64
"""Voxels of a batch that must fit: with less, no budget helps."""


OUT_OF_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""What errors say in which the CPU, the driver of a GPU, or one of its libraries (cuBLAS, cuDNN) has no memory."""


def budget_from_memory(free: float, *, used: float, voxels: int) -> int:
    """Voxels of a batch for which ``free`` bytes suffice, where ``voxels`` of them used ``used`` bytes.

    Raises:
        UserError: Not even a small batch fits.
    """
    budget = int(SHARE * free / max(used / voxels, 1))
    if budget < SMALLEST:
        raise UserError(
            f"memory does not hold a step: {max(free, 0) / 1e6:.0f} MB are free, {voxels} voxels need "
            f"{used / 1e6:.0f} MB; choose a smaller model"
        )
    return budget


def free_memory(device: torch.device) -> float | None:
    """Bytes that a step on ``device`` could use, ``None`` where that cannot be known."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    try:  # a container may hold less than the machine
        limit, used = (
            float(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current")
        )
        return min(free, limit - used)
    except (OSError, ValueError):
        return free


class Meter:
    """Memory of one forward and backward pass."""

    def __init__(self, device: torch.device, voxels: int) -> None:
        self.device = device
        self.voxels = voxels
        self._saved: dict[int, int] = {}
        self._before = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Meter what runs inside; on a GPU, what follows too."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
            yield
            return
        with saved_tensors_hooks(self._note, lambda tensor: tensor):
            yield

    def _note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self._saved[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    def used(self) -> float:
        """Bytes: the measured peak of a GPU; elsewhere twice what is kept for the backward pass."""
        if self.device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self.device) - self._before)
        return 2.0 * sum(self._saved.values())


def num_voxels(batch: Any) -> int | None:
    """Voxels of a batch of clouds; ``None`` for other batches, which cannot be cropped."""
    return len(batch["grid_pos"]) if isinstance(batch, Batch) and "grid_pos" in batch else None


def crop_batch(batch: Any, budget: int | None) -> Any:
    """The batch with at most ``budget`` voxels: of every sample, the same share around a random voxel."""
    total = num_voxels(batch)
    if budget is None or total is None or total <= budget:
        return batch
    samples = []
    for sample in batch.to_data_list():
        count = len(sample.grid_pos)
        keep = max(int(budget * count / total), 1)
        place = sample.grid_pos.float()
        middle = place[int(torch.randint(count, ())) if count else 0]
        chosen = (place - middle).square().sum(1).topk(min(keep, count), largest=False).indices.sort().values
        for key, value in sample.to_dict().items():
            if isinstance(value, Tensor) and value.dim() and len(value) == count:
                sample[key] = value[chosen]
        samples.append(sample)
    return Batch.from_data_list(samples)


def blocks_of_batch(batch: Any, most: int) -> Iterator[Batch]:
    """The batch in blocks of at most ``most`` voxels with context around them, whose ``y`` is ignored there."""
    for sample in batch.to_data_list():
        count = len(sample.grid_pos)
        for block in cut_into_blocks(sample.grid_pos.cpu().numpy(), max_voxels=most, margin=MARGIN):
            rows = torch.from_numpy(block.rows).to(sample.grid_pos.device)
            part = sample.clone()
            for key, value in sample.to_dict().items():
                if isinstance(value, Tensor) and value.dim() and len(value) == count:
                    part[key] = value[rows]
            core = torch.from_numpy(block.core).to(rows.device)
            part.y = part.y.where(core, IGNORE_INDEX)
            yield Batch.from_data_list([part])  # type: ignore[misc]


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in OUT_OF_MEMORY)


def free_cache() -> None:
    """Give cached memory of the GPU back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
