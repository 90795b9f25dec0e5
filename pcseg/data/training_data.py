"""What the data of an experiment gives to training, whether it is of rooms or of images."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from pcseg.labels import LabelSchema


class TrainingData(ABC):
    """Batches to train and to validate on, and what a model must know of them.

    A batch has ``y`` (N,) int64, a label or ``IGNORE_INDEX`` for each row of the logits, and ``num_graphs``, how
    many scenes or images it holds; it can be moved by ``to(device)``.
    """

    in_channels: int
    """Width of the input features."""

    kind: str
    """What one item is called in messages, in the plural."""

    @property
    @abstractmethod
    def schema(self) -> LabelSchema:
        """The classes."""

    @property
    @abstractmethod
    def class_counts(self) -> Tensor:
        """How many training labels are of each class, ``(K,)``; only their shares count."""

    @property
    @abstractmethod
    def manifest_hash(self) -> str:
        """Equal for equal data."""

    @property
    @abstractmethod
    def num_val(self) -> int:
        """Number of scenes or images to validate on."""

    @abstractmethod
    def card(self) -> dict[str, Any]:
        """Fields of the model card that depend on the data: kind, features, grid_size, missing_fields."""

    @abstractmethod
    def train_loader(self, *, seed: int = 0) -> DataLoader:
        """Training batches; epoch and ``seed`` alone determine them, and a loader goes on inside an epoch."""

    @abstractmethod
    def val_loader(self) -> DataLoader:
        """Every item to validate on exactly once over all processes."""
