"""Loaders of batches: errors of the user's data are one line, and an epoch can go on in the middle."""

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset

from pcseg.data.samplers import EpochSampler, ShardSampler
from pcseg.data.worker_errors import Watch, naming_files
from pcseg.errors import UserError


class RoomLoader(DataLoader):
    """Batches of rooms or images; an error of the user's data is one line, also when it happens in a worker."""

    def __init__(
        self,
        dataset: Dataset,
        sampler: EpochSampler | ShardSampler,
        collate: Callable,
        *,
        batch_size: int,
        num_workers: int,
    ) -> None:
        watch = Watch(num_workers)
        super().__init__(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=collate,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            worker_init_fn=watch.start_worker,
        )
        self.watch = watch

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            with naming_files(self):
                yield from super().__iter__()
        except UserError as error:  # a worker's carries the text of its traceback
            raise UserError(str(error).rsplit("UserError: ", 1)[-1].strip()) from None


class EpochLoader(RoomLoader):
    """Training batches that can go on in the middle of an epoch.

    ``state_dict`` tells epoch and batches handed out; the iteration after ``load_state_dict`` starts behind
    these. Lightning stores and restores the state of such a loader by itself.
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
        """Epoch and number of its batches that were handed out."""
        return {"epoch": self._done[0], "batch": self._done[1]}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next iteration, if it is of the same epoch, where ``state`` was taken."""
        self._resume = (state["epoch"], state["batch"])
        self.sampler.set_epoch(state["epoch"])
