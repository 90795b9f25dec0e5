"""Which rooms come when: the same for any number of processes, and from the middle of an epoch."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch.distributed
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """What one training sample depends on, besides the seed: epoch, place in the epoch, room."""

    epoch: int
    position: int
    room: int


def process_rank() -> tuple[int, int]:
    """Number of this process and number of processes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class EpochSampler(Sampler[SampleKey]):
    """Shuffles the rooms anew in every epoch, by seed and epoch alone.

    Args:
        num_rooms: Number of rooms.
        batch_size: Samples in a batch of one process.
        loop: How often every room comes in an epoch.
        seed: With the epoch, determines the order.

    Convention:
        All processes together walk one list; every process gets the same number of batches. What is left over
        at the end of an epoch, less than one batch of all processes, is dropped; but an epoch has at least
        one such batch, for which rooms may come more often. Every room comes once before any comes again.
    """

    def __init__(self, num_rooms: int, *, batch_size: int, loop: int = 1, seed: int = 0) -> None:
        self.num_rooms = num_rooms
        self.batch_size = batch_size
        self.loop = loop
        self.seed = seed
        self.epoch = 0
        self.start_batch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    @property
    def num_batches(self) -> int:
        """Batches of this process in an epoch."""
        return max(self.num_rooms * self.loop // (self.batch_size * process_rank()[1]), 1)

    def __len__(self) -> int:
        return self.num_batches * self.batch_size

    def __iter__(self) -> Iterator[SampleKey]:
        rank, world = process_rank()
        total = len(self) * world
        rng = np.random.default_rng((self.seed, self.epoch))
        passes = [rng.permutation(self.num_rooms) for _ in range(-(-total // self.num_rooms))]
        rooms = np.concatenate(passes)[:total]
        first = self.start_batch * self.batch_size * world
        for position in range(first + rank, total, world):
            yield SampleKey(self.epoch, position, int(rooms[position]))


class ShardSampler(Sampler[int]):
    """Every room exactly once over all processes, without padding; large rooms first, dealt out in turn.

    Args:
        sizes: Points of every room.
    """

    def __init__(self, sizes: list[int]) -> None:
        self.order = sorted(range(len(sizes)), key=lambda room: (-sizes[room], room))

    def __len__(self) -> int:
        rank, world = process_rank()
        return len(range(rank, len(self.order), world))

    def __iter__(self) -> Iterator[int]:
        rank, world = process_rank()
        return iter(self.order[rank::world])
