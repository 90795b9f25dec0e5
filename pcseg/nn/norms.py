"""Batch norm and dropout of tokens, and convolution or linear layer with norm and activation."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.nn.process_statistics import FollowStatistics, several_processes, statistics_of_processes
from pcseg.nn.tokens import Sites
from pcseg.ops.clouds import cloud_ptr, spread

NormFactory = Callable[[int], nn.Module]
"""Takes the number of channels."""


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of tokens ``(N, C)``, tables ``(B, C, D)`` or images, over all tokens of the batch together.

    Args:
        eps: Added to the variance.
        momentum: Weight of a batch in the running statistics.

    Convention:
        With a single value per channel there is no variance (a batch of one cloud, a cloud of one token). The
        running statistics then normalize it and do not change; PyTorch raises an error.
        While ``synchronized`` (see :func:`synchronize_norms`) statistics are over the batches of all processes. This
        is not ``nn.SyncBatchNorm``, which raises an error on CPUs (torch 2.14), and whose statistics and scale have
        no variants like the subclasses below.
    """

    running_mean: Tensor
    running_var: Tensor
    momentum: float

    biased_variance = False
    """Whether the running variance follows the biased variance of the batch; in PyTorch it is the unbiased one."""
    absolute_gain = False
    """Whether the scale is ``|weight| + eps``."""
    skip_single = False
    """Whether a batch with a single value per channel is returned unchanged during training."""
    negative_slope = 0.0
    """Slope of the leaky ReLU that follows the norm in :class:`ConvNorm`; 0 is ReLU."""

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)
        self.synchronized = False

    @property
    def gain(self) -> Tensor:
        return self.weight.abs() + self.eps if self.absolute_gain else self.weight

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.synchronized and several_processes():
            return self._over_processes(x)
        count = x.numel() // self.num_features
        if count == 0 or (count == 1 and self.training and self.skip_single):
            return x
        by_batch = self.training and count > 1
        if not (by_batch and self.biased_variance):
            statistics = (self.running_mean, self.running_var)
            return F.batch_norm(x, *statistics, self.gain, self.bias, by_batch, self.momentum, self.eps)
        mean, variance = self.running_mean.clone(), self.running_var.clone()
        y = F.batch_norm(x, mean, variance, self.gain, self.bias, True, self.momentum, self.eps)
        self.running_mean.copy_(mean)
        # The contribution of the batch to the running variance shrinks by (count - 1) / count.
        self.running_var.mul_(1 - self.momentum).lerp_(variance, 1 - 1 / count)
        return y

    def _over_processes(self, x: Tensor) -> Tensor:
        """Return the result of :meth:`forward` in training, with the rows of all processes as the batch."""
        count, *moments = statistics_of_processes(x)
        if count == 1 and self.skip_single:
            return x
        mean, variance = self.running_mean, self.running_var
        if count > 1:
            batch_mean, batch_variance = (moment.to(mean.dtype) for moment in moments)
            moved = batch_variance if self.biased_variance else batch_variance * (count / (count - 1))
            mean.lerp_(batch_mean, self.momentum)
            variance.lerp_(moved, self.momentum)
            mean, variance = batch_mean, batch_variance
            x = FollowStatistics.apply(x, mean, (variance + self.eps).rsqrt(), count)
        return F.batch_norm(x, mean, variance, self.gain, self.bias, False, 0.0, self.eps)


class BiasedBatchNorm(BatchNorm):
    """Batch norm of PyTorch-Encoding: the running variance follows the biased variance."""

    biased_variance = True


class PaddleBatchNorm(BiasedBatchNorm):
    """Batch norm of Paddle: as :class:`BiasedBatchNorm`, and single values are not normalized during training."""

    skip_single = True


class InPlaceABN(BatchNorm):
    """The norm of the released CCNet: scales by ``|weight| + eps`` and precedes a leaky ReLU."""

    absolute_gain = True
    negative_slope = 0.01


def synchronize_norms(module: nn.Module) -> None:
    """Make every batch norm of ``module`` compute its statistics over the batches of all processes in training.

    Convention:
        PyTorch norms are replaced by :class:`BatchNorm` with the same parameters and names.

    Raises:
        UserError: A batch norm has a custom forward pass, which replacing would discard.
    """
    known: dict[nn.Module, BatchNorm] = {}
    for parent_name, parent in list(module.named_modules()):
        for name, child in parent.named_children():
            if isinstance(child, BatchNorm):
                child.synchronized = True
            elif isinstance(child, nn.modules.batchnorm._BatchNorm):
                if child not in known:
                    known[child] = _replacement(child, f"{parent_name}.{name}".lstrip("."))
                setattr(parent, name, known[child])


def _replacement(norm: nn.modules.batchnorm._BatchNorm, name: str) -> BatchNorm:
    """Return a synchronized norm with the tensors of a PyTorch norm."""
    known = type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    if not known or not norm.affine or not norm.track_running_stats or norm.momentum is None:
        raise UserError(
            f"trainer.sync_batchnorm: {name} is a {type(norm).__name__}, which cannot be synchronized. Set it to false."
        )
    ours = BatchNorm(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    for key, tensor in [*norm._parameters.items(), *norm._buffers.items()]:
        setattr(ours, key, tensor)
    ours.synchronized = True
    return ours.train(norm.training)


class ChannelDropout(nn.Module):
    """Zero whole channels of a cloud with probability ``rate`` in training, as ``nn.Dropout2d`` does for images."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, ptr: Tensor | None = None, *, batch: Tensor | None = None) -> Tensor:
        """Return tokens ``(N, C)`` of the clouds ``ptr`` or ``batch``, see :func:`~pcseg.ops.clouds.cloud_ptr`."""
        if not self.training or self.rate == 0:
            return x
        ptr = cloud_ptr(x, ptr, batch)
        ones = x.new_ones(len(ptr) - 1, x.shape[1])
        return x * spread(F.dropout(ones, self.rate), ptr)

    def extra_repr(self) -> str:
        return str(self.rate)


class DropPath(nn.Module):
    """Zero rows with probability ``rate`` in training and scale the others up (Huang et al., ECCV 2016).

    Convention:
        A row is an image, or a voxel as in the published PTv3. timm's ``DropPath`` computes the same, but
        importing timm takes 3 s.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        return x * F.dropout(x.new_ones(len(x), *[1] * (x.ndim - 1)), self.rate)

    def extra_repr(self) -> str:
        return str(self.rate)


class ConvNorm(nn.Module):
    """A local convolution, its norm, and the activation that belongs to the norm (ReLU by default)."""

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.activation = conv, norm, activation_after(norm)

    def forward(self, x: Tensor | Sequence[Tensor], sites: Sites) -> Tensor:
        """Return ``(N, out_channels)`` for tokens ``(N, in_channels)``, or several to be concatenated."""
        return self.activation(self.norm(self.conv(x, sites)))


def activation_after(norm: nn.Module) -> nn.Module:
    """Return the activation that belongs to a norm."""
    slope = norm.negative_slope if isinstance(norm, BatchNorm) else 0.0
    return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)


def linear_norm(
    in_channels: int, out_channels: int, *, bias: bool, norm: NormFactory = BatchNorm
) -> nn.Sequential:
    """Return a linear layer (a 1×1 convolution), a norm, and the activation that belongs to the norm."""
    normalize = norm(out_channels)
    layers = {
        "linear": nn.Linear(in_channels, out_channels, bias=bias),
        "norm": normalize,
        "activation": activation_after(normalize),
    }
    return nn.Sequential(OrderedDict(layers))
