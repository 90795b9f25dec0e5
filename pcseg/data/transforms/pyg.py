"""Any transform of PyTorch Geometric as an augmentation."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pcseg.data.sample import Sample, Transform
from pcseg.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PyGTransform(Transform):
    """Apply a PyG transform to a ``Data`` with the fields of a sample: ``pos``, ``color``, ``normal``, ``y``, …

    Args:
        transform: A transform, such as ``torch_geometric.transforms.RandomJitter``.

    Raises:
        UserError: The transform removes a field, or leaves fields of different lengths.

    Convention:
        The global random generators that PyG uses are seeded for the call and restored, so that a sample still depends
        on its key only. Heights and voxels are computed from the new positions.
    """

    transform: Callable[[Any], Any]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        from torch_geometric.data import Data  # its import takes seconds

        arrays = sample.arrays()
        fields = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
        fields["y"] = fields.pop("label")
        states = random.getstate(), np.random.get_state()  # noqa: NPY002 - PyG uses the global generators
        try:
            with torch.random.fork_rng(devices=[]):
                seed = int(rng.integers(2**32))
                torch.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                data = self.transform(Data(**fields))
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
        found = {name: data.get("y" if name == "label" else name) for name in arrays}
        if any(value is None or len(value) != len(found["pos"]) for value in found.values()):
            sizes = ", ".join(f"{name} {'missing' if v is None else len(v)}" for name, v in found.items())
            raise UserError(
                f"point_transforms: {type(self.transform).__name__} leaves {sizes}. Choose a transform that keeps all "
                "fields of a point."
            )
        return replace(
            sample, **{name: value.numpy().astype(arrays[name].dtype) for name, value in found.items()}
        )
