"""Inflate the weights of an image head for the point head with the same body."""

from torch import Tensor


def inflate(_name: str, weight: Tensor) -> Tensor:
    """Return an image convolution ``(O, I, k, k)`` as a submanifold one ``(k³, I, O)``, other tensors unchanged.

    Convention:
        The kernel fills the slice z = 0 of the cube, with the columns of the image along x and its rows along y. The
        slices above and below are zero, so that on a planar grid both heads compute the same. 1x1 convolutions
        become linear maps ``(O, I)``.
    """
    if weight.ndim != 4:
        return weight
    out_channels, in_channels, size, _ = weight.shape
    if size == 1:
        return weight[..., 0, 0]
    cube = weight.new_zeros(size, size, size, in_channels, out_channels)
    cube[:, :, size // 2] = weight.permute(3, 2, 1, 0)
    return cube.flatten(0, 2)
