"""Weights of an image head for the point head with the same body."""

from collections.abc import Mapping

from torch import Tensor


def inflate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Image convolutions ``(O, I, k, k)`` as submanifold ones ``(k³, I, O)``, other entries as they are.

    Convention:
        The kernel fills the slice z = 0 of the cube, columns of the image along x and rows along y; the slices
        above and below are zero, so that on a planar grid both heads compute the same. 1×1 convolutions become
        linear maps ``(O, I)``.
    """
    return {name: _to_points(tensor) if tensor.ndim == 4 else tensor for name, tensor in state.items()}


def _to_points(weight: Tensor) -> Tensor:
    out_channels, in_channels, size, _ = weight.shape
    if size == 1:
        return weight[..., 0, 0]
    cube = weight.new_zeros(size, size, size, in_channels, out_channels)
    cube[:, :, size // 2] = weight.permute(3, 2, 1, 0)
    return cube.flatten(0, 2)
