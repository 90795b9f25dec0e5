"""Batch loaders with one-line errors for invalid data, and a training loader that resumes inside an epoch."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from pcseg.data.samplers import EpochSampler, ShardSampler
from pcseg.data.worker_errors import WorkerFiles, name_worker_files
from pcseg.errors import UserError


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
