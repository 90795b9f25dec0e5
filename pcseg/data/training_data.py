"""Training and validation data as batches, the same for rooms and images."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
from torch import Tensor
from torch.utils.data import Dataset

from pcseg.data.loaders import BatchLoader, EpochLoader
from pcseg.data.samplers import EpochSampler, ShardSampler
from pcseg.data.worker_errors import WorkerFiles
from pcseg.errors import UserError
from pcseg.labels import LabelSchema


class TrainingData(L.LightningDataModule, ABC):
    """Batches to train and validate on, and the properties of the data that a model depends on.

    A batch has ``y`` (N,) int64 with a label or ``IGNORE_INDEX`` for each row of the logits, and ``num_graphs``,
    the number of scenes or images; ``batch.to(device)`` moves it.

    Args:
        batch_size: Number of samples in a batch of one process.
        loop: Number of times an epoch shows every item.
        num_workers: Number of loading processes; results do not depend on it.
    """

    in_channels: int
    """Width of the input features."""

    kind: str
    """Plural name of the items in messages."""

    seed: int = 0
    """Seed of order and augmentations; :func:`pcseg.training.train.train` sets it."""

    def __init__(self, *, batch_size: int, loop: int, num_workers: int) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1), ("loop", loop, 1), ("num_workers", num_workers, 0)
        ):  # fmt: skip
            if value < least:
                raise UserError(f"data.{name}: {value} is too small. Use at least {least}.")
        self.batch_size, self.loop, self.num_workers = batch_size, loop, num_workers
        self.worker_files: list[WorkerFiles] = []

    @property
    @abstractmethod
    def schema(self) -> LabelSchema:
        """Label schema."""

    @property
    @abstractmethod
    def class_counts(self) -> Tensor:
        """Number of training labels per class, ``(K,)``; only their proportions matter."""

    @property
    @abstractmethod
    def has_val_labels(self) -> bool:
        """Whether any validation item has a label."""

    @property
    @abstractmethod
    def manifest_hash(self) -> str:
        """Hash that is equal for equal data."""

    @property
    @abstractmethod
    def val_sizes(self) -> Sequence[int]:
        """Size of every validation item, so that processes share the large ones."""

    @abstractmethod
    def card(self) -> dict[str, Any]:
        """Return the fields of the model card that depend on the data."""

    @abstractmethod
    def train_dataset(self, seed: int) -> Dataset:
        """Return augmented samples by :class:`~pcseg.data.samplers.SampleKey`."""

    @abstractmethod
    def val_dataset(self) -> Dataset:
        """Return validation items by index."""

    @abstractmethod
    def collate(self, *, training: bool) -> Callable[[Sequence[Any]], Any]:
        """Return the function that makes a batch of samples."""

    def train_dataloader(self, *, seed: int | None = None) -> EpochLoader:
        """Return training batches; seed and epoch alone determine them, and a loader resumes inside an epoch."""
        seed = self.seed if seed is None else seed
        dataset = self.train_dataset(seed)
        sampler = EpochSampler(len(dataset), batch_size=self.batch_size, loop=self.loop, seed=seed)  # type: ignore[arg-type]
        loader = EpochLoader(dataset, sampler, self.collate(training=True), num_workers=self.num_workers)
        self.worker_files.append(loader.worker_files)
        return loader

    def val_dataloader(self) -> BatchLoader:
        """Return every validation item exactly once over all processes, one per batch."""
        collate = self.collate(training=False)
        loader = BatchLoader(
            self.val_dataset(),
            ShardSampler(self.val_sizes),
            collate,
            batch_size=1,
            num_workers=self.num_workers,
        )
        self.worker_files.append(loader.worker_files)
        return loader
