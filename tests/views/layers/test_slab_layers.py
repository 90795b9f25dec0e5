"""The class that a slab is colored by."""

import numpy as np

from pcseg.views.layers.head_maps import SlabShares
from pcseg.views.layers.slab_layers import standouts


def slabs(predicted: list[list[float]], slab: list[int]) -> SlabShares:
    return SlabShares(
        axis=0, name="x", unit="m", start=np.arange(len(predicted)) / 5, thickness=0.2, slab=np.array(slab),
        predicted=np.array(predicted),
    )  # fmt: skip


def test_the_class_most_above_its_share_of_all_tokens() -> None:
    # shares of the tokens: 0.55, 0.2 and 0.25
    found = slabs([[0.7, 0.2, 0.1], [0.5, 0.2, 0.3], [0.4, 0.2, 0.4]], [0, 0, 1, 2])
    assert standouts(found).tolist() == [0, 2, 2]


def test_a_single_slab_has_its_largest_share() -> None:
    assert standouts(slabs([[0.1, 0.3, 0.6]], [0, 0])).tolist() == [2]
