"""Order of samples, the same for any number of processes, and loaders that resume inside an epoch.

Loaders report invalid data as one-line errors.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed
from torch.utils.data import DataLoader, Dataset, Sampler

from pcseg.data.worker_errors import WorkerFiles, name_worker_files
from pcseg.errors import UserError


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


class BatchLoader(DataLoader):
    """Loads batches. Errors in the user's data are raised as :class:`UserError`, also from a worker.

    Convention:
        Batches lie in pinned memory if a GPU is present, so that copies to it overlap with computation.
    """

    def __init__(
        self,
        dataset: Dataset,
        sampler: EpochSampler | ShardSampler,
        collate: Callable,
        *,
        batch_size: int,
        num_workers: int,
    ) -> None:
        worker_files = WorkerFiles(num_workers)
        super().__init__(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=collate,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=worker_files.start_worker,
        )
        self.worker_files = worker_files

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            with name_worker_files([self.worker_files]):
                yield from super().__iter__()
        except UserError as error:  # from a worker, the message contains the text of a traceback
            raise UserError(str(error).rsplit("UserError: ", 1)[-1].strip()) from None


class EpochLoader(BatchLoader):
    """Loads training batches and can resume inside an epoch.

    ``state_dict`` holds the epoch and the number of batches returned so far. The first iteration after
    ``load_state_dict`` starts after them. Lightning saves and restores this state.
    """

    sampler: EpochSampler

    def __init__(
        self, dataset: Dataset, sampler: EpochSampler, collate: Callable, *, num_workers: int
    ) -> None:
        super().__init__(dataset, sampler, collate, batch_size=sampler.batch_size, num_workers=num_workers)
        self._done = (0, 0)
        self._resume = (0, 0)

    def __iter__(self) -> Iterator[Any]:
        epoch = self.sampler.epoch
        first = self._resume[1] if self._resume[0] == epoch else 0
        self._resume = (epoch, 0)
        self.sampler.start_batch = first
        self._done = (epoch, first)
        for number, batch in enumerate(super().__iter__(), first + 1):
            self._done = (epoch, number)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of its batches returned so far."""
        return {"epoch": self._done[0], "batch": self._done[1]}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next iteration at ``state`` if it is of the same epoch."""
        self._resume = (state["epoch"], state["batch"])
        self.sampler.set_epoch(state["epoch"])
