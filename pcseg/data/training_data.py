"""Training and validation data as batches, the same for rooms and images."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pcseg.data.loaders import BatchLoader, EpochLoader, EpochSampler, SampleKey, ShardSampler
from pcseg.data.worker_errors import WorkerFiles
from pcseg.labels import LabelSchema
from pcseg.values import Epochs, Few, Workers, checked

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Items(Dataset[T], Generic[T]):
    """Samples of ``count`` rooms or images; ``make`` takes the key that a sampler yields."""

    make: Callable[[Any], T]
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: Any) -> T:
        return self.make(key)


def augmented(key: SampleKey, *, make: Callable[[int, np.random.Generator], T], seed: int) -> T:
    """Return ``make`` of the index and the random generator of a sample, which depend on seed and key alone."""
    return make(key.index, np.random.default_rng((seed, key.epoch, key.position)))


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

    fixed: bool = False
    """Whether training samples are the same in every epoch."""

    seed: int = 0
    """Seed of order and augmentations; :func:`pcseg.training.train.train` sets it."""

    @checked("data.")
    def __init__(self, *, batch_size: Few, loop: Epochs, num_workers: Workers) -> None:
        super().__init__()
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
    def train_dataset(self, seed: int) -> Items:
        """Return augmented samples by :class:`~pcseg.data.loaders.SampleKey`."""

    @abstractmethod
    def val_dataset(self) -> Items:
        """Return validation items by index."""

    @abstractmethod
    def collate(self, *, training: bool) -> Callable[[Sequence[Any]], Any]:
        """Return the function that makes a batch of samples."""

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch without waiting for it. The bounds of its clouds stay where Python reads them."""
        ptr = getattr(batch, "ptr", None)
        batch = batch.to(device, non_blocking=True)
        if ptr is not None:
            batch.ptr = ptr
        return batch

    def train_dataloader(self, *, seed: int | None = None) -> EpochLoader:
        """Return training batches; seed and epoch alone determine them, and a loader resumes inside an epoch."""
        seed = self.seed if seed is None else seed
        dataset = self.train_dataset(seed)
        sampler = EpochSampler(len(dataset), batch_size=self.batch_size, loop=self.loop, seed=seed)
        loader = EpochLoader(dataset, sampler, self.collate(training=True), num_workers=self.num_workers)
        self.worker_files.append(loader.worker_files)
        return loader

    def val_dataloader(self) -> BatchLoader:
        """Return every validation item exactly once over all processes, one per batch."""
        dataset, sampler = self.val_dataset(), ShardSampler(self.val_sizes)
        collate = self.collate(training=False)
        loader = BatchLoader(dataset, sampler, collate, batch_size=1, num_workers=self.num_workers)
        self.worker_files.append(loader.worker_files)
        return loader


def hold_out(scenes: Mapping[str, str], fraction: float) -> set[str]:
    """Choose validation items: a fraction of the scenes of every split, by the hash of their names.

    At least one scene of every split is chosen and at least one is not, so none of a split with a single scene. If
    all splits have a single scene, they are treated as one split. With ``fraction`` 0 no scene is chosen.

    Args:
        scenes: Physical space of each scene; both as ``<split>/<name>``. All scenes of a space, such
            as repeated scans of one room, are chosen together.
        fraction: Part of the scenes.
    """
    splits = sorted({scene.split("/")[0] for scene in scenes})
    chosen: set[str] = set()
    for split in splits:
        chosen |= _chosen({s: space for s, space in scenes.items() if s.split("/")[0] == split}, fraction)
    return chosen or _chosen(scenes, fraction)


def _chosen(scenes: Mapping[str, str], fraction: float) -> set[str]:
    number = 0 if fraction == 0 else min(max(round(fraction * len(scenes)), 1), len(scenes) - 1)
    by_space: dict[str, list[str]] = {}
    for scene, space in scenes.items():
        by_space.setdefault(space, []).append(scene)
    chosen: set[str] = set()
    for space in sorted(by_space, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if len(chosen) < number and len(chosen) + len(by_space[space]) < len(scenes):
            chosen.update(by_space[space])
    return chosen
