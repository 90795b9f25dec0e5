"""Order of training samples and validation items: the same for any number of processes, and resumable."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch.distributed
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """Identifies a training sample: epoch, position in the epoch, and index of the room or image."""

    epoch: int
    position: int
    index: int


def process_rank() -> tuple[int, int]:
    """Return the rank of this process and the number of processes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class EpochSampler(Sampler[SampleKey]):
    """Shuffles the items in every epoch, determined by seed and epoch alone.

    Args:
        batch_size: Number of samples in a batch of one process.
        loop: Number of times an epoch contains every item.
        seed: Seed of the order, together with the epoch.

    Convention:
        All processes share one list, and each gets the same number of batches. The rest of an epoch, less than one
        batch of all processes, is dropped. An epoch has at least one such batch, repeating items if necessary.
        Every item appears once before any appears again.
    """

    def __init__(self, num_items: int, *, batch_size: int, loop: int = 1, seed: int = 0) -> None:
        self.num_items = num_items
        self.batch_size = batch_size
        self.loop = loop
        self.seed = seed
        self.epoch = 0
        self.start_batch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    @property
    def num_batches(self) -> int:
        """Number of batches of this process in an epoch."""
        return max(self.num_items * self.loop // (self.batch_size * process_rank()[1]), 1)

    def __len__(self) -> int:
        return self.num_batches * self.batch_size

    def __iter__(self) -> Iterator[SampleKey]:
        rank, world = process_rank()
        total = len(self) * world
        rng = np.random.default_rng((self.seed, self.epoch))
        passes = [rng.permutation(self.num_items) for _ in range(-(-total // self.num_items))]
        items = np.concatenate(passes)[:total]
        first = self.start_batch * self.batch_size * world
        for position in range(first + rank, total, world):
            yield SampleKey(self.epoch, position, int(items[position]))


class ShardSampler(Sampler[int]):
    """Yields every item exactly once over all processes, without padding, large items first.

    Args:
        sizes: Size of every item, such as its number of points.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.order = sorted(range(len(sizes)), key=lambda item: (-sizes[item], item))

    def __len__(self) -> int:
        rank, world = process_rank()
        return len(range(rank, len(self.order), world))

    def __iter__(self) -> Iterator[int]:
        rank, world = process_rank()
        return iter(self.order[rank::world])
