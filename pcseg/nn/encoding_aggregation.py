"""The encoding layer as an aggregation of PyTorch Geometric; a separate file because importing PyG takes seconds."""

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from pcseg.nn.encoding import EncodingLayer


class EncodingAggregation(Aggregation):
    """Aggregate sets of any size to vectors of ``K * C`` channels with an :class:`EncodingLayer`.

    It takes the arguments of every PyG aggregation, so that it fits ``MessagePassing(aggr=...)`` and global pooling:
    ``aggregation(x, index)``, or ``aggregation(x, ptr=ptr)`` for sorted rows.
    """

    def __init__(self, channels: int, num_codewords: int, *, reference_size: int | None = None) -> None:
        super().__init__()
        self.encoding = EncodingLayer(channels, num_codewords, reference_size=reference_size)

    def reset_parameters(self) -> None:
        self.encoding.reset_parameters()

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        self.assert_two_dimensional_input(x, dim)
        if ptr is None:
            if index is None:
                index = x.new_zeros(len(x), dtype=torch.long)
            index, order = torch.sort(index, stable=True)
            x = x[order]
            counts = torch.bincount(index, minlength=dim_size or 1)
            ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return self.encoding(x, ptr).flatten(1)
