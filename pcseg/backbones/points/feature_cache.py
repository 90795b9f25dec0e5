"""Features of a frozen encoder on disk, computed once per cloud."""

import hashlib
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcseg.backbones.points.ptv3_network import Encoded, PTv3
from pcseg.errors import UserError
from pcseg.files import atomic_path
from pcseg.nn.levels import PointBatch

FORMAT = "1"
"""Part of the names of files; changed with the arithmetic of the encoder."""

INPUTS = ("x", "pos", "grid_pos")


class FeatureCache:
    """Encodes a batch cloud by cloud, and keeps the features of every cloud in a file.

    Args:
        encoder: Network with a frozen encoder in evaluation mode.
        folder: Folder of the files, ``None`` to compute every cloud again.

    Raises:
        UserError: A file is damaged or cannot be written.

    Convention:
        The name of a file is a hash of the encoder's weights, the precision and all inputs of the cloud. Other
        weights, another transform or another point in a single voxel therefore lead to another file. Features do not
        depend on the other clouds of a batch, to the bit. The device is not part of the name: features of a GPU
        serve training on a CPU.
    """

    def __init__(self, encoder: PTv3, folder: Path | None) -> None:
        self.encoder, self.folder = encoder, folder

    def encode(self, batch: PointBatch) -> list[Encoded]:
        """Return the result of :meth:`PTv3.encode`, without gradients."""
        with torch.no_grad():
            bounds = list(pairwise(batch.ptr.tolist()))
            if len(bounds) == 1 and self.folder is None:
                return self.encoder.encode(batch)
            clouds = [self._cloud(batch, *span) for span in bounds]
            return [
                Encoded(torch.cat(parts), level, parent)
                for parts, (level, parent) in zip(zip(*clouds), self.encoder.resolutions(batch))
            ]

    def _cloud(self, batch: PointBatch, first: int, last: int) -> list[Tensor]:
        """Return the features of every stage for the rows of one cloud."""
        cloud: Any = SimpleNamespace(**{name: getattr(batch, name)[first:last] for name in INPUTS})
        cloud.ptr = torch.tensor([0, last - first], device=batch.ptr.device)
        if self.folder is None:
            return [stage.x for stage in self.encoder.encode(cloud)]
        path = self.folder / f"{self._key(cloud)}.npy"
        if not path.is_file():
            found = [stage.x for stage in self.encoder.encode(cloud)]
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.save(file, torch.cat([x.flatten() for x in found]).cpu().numpy())
            return found
        sizes = [len(level.voxels) for level, _ in self.encoder.resolutions(cloud)]
        widths = self.encoder.enc_channels
        lengths = [size * width for size, width in zip(sizes, widths)]
        try:
            # copied on write, because torch takes no read-only arrays
            values = torch.from_numpy(np.load(path, mmap_mode="c"))
            parts = values.split(lengths)
        except (ValueError, EOFError, OSError, RuntimeError) as error:
            raise UserError(f"{path}: a damaged file of cached features. Remove it.") from error
        return [part.view(-1, width).to(batch.x.device) for part, width in zip(parts, widths)]

    def _key(self, cloud: Any) -> str:
        device = cloud.x.device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else cloud.x.dtype
        digest = hashlib.blake2b(f"{FORMAT} {self._weights} {precision}".encode(), digest_size=20)
        for name in INPUTS:
            value = getattr(cloud, name).detach().cpu().contiguous()
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.numpy().data)
        return digest.hexdigest()

    @cached_property
    def _weights(self) -> str:
        """Hash of the tensors and options that the encoder computes with."""
        encoder = self.encoder
        options = (encoder.variant, encoder.strides, encoder.curves, encoder.rotary)
        layers = [(m.heads, m.curve, m.patch_size) for m in encoder.enc.modules() if hasattr(m, "patch_size")]
        digest = hashlib.blake2b(repr((options, layers)).encode())
        for name, tensor in encoder.state_dict().items():
            if not name.startswith(("dec.", "unpools.")):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()
