"""Image heads of CCNet and EncNet against their published formulations: training step and inference."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from benchmarks.harness import Row, measure
from benchmarks.heads import materialized_encoding, published_criss_cross
from torch import Tensor, nn

from pcseg.heads import EncBody, FCNBody, ImageHead, RCCABody
from pcseg.nn.norms import BatchNorm, ConvNorm
from pcseg.nn.tokens import Pixels, to_image

WIDTHS = (1024, 2048)
"""Channels of the features of a ResNet-50 or ResNet-101 that the heads read."""

EDGE = 41
"""Rows and columns of features: an image of 321 pixels at stride 8."""

HeadFunction = Callable[[Sequence[Tensor]], list[Tensor]]
"""Takes features, finest first, and returns logits and the auxiliary outputs of a head."""


def run() -> list[Row]:
    """Measure on two CPU threads; both implementations have the same weights, norms and auxiliary heads.

    Convention:
        No dropout, so that outputs can be compared. Logits stay at the size of the features, because resizing is
        the same in both. CTNet has no row: pcseg uses its published formulation.
    """
    torch.set_num_threads(2)
    torch.manual_seed(0)
    wide = partial(FCNBody, width=512, dropout=0.0)
    rcca = partial(RCCABody, width=512, recurrence=2, dropout=0.0)
    ccnet = ImageHead(WIDTHS, 19, body=rcca, auxiliary=wide)
    assert isinstance(ccnet.body, RCCABody)
    nn.init.ones_(ccnet.body.attention.gamma)  # 0 would hide the attention
    encoding = partial(EncBody, width=512, reference_size=None, dropout=0.0)
    encnet = ImageHead(WIDTHS, 150, body=encoding, auxiliary=partial(FCNBody, dropout=0.0))
    assert isinstance(encnet.body, EncBody)
    # hard assignments leave codewords empty, and the norm turns their rounding errors into signs
    nn.init.constant_(encnet.body.context.encoding.smoothing, -0.01)
    return [
        *rows("CCNet", ccnet, "published permute and bmm", lambda x: published_ccnet(ccnet, x)),
        *rows("EncNet", encnet, "residuals materialized", lambda x: published_encnet(encnet, x)),
    ]


def rows(name: str, head: ImageHead, other: str, published: HeadFunction) -> Iterator[Row]:
    """Compare the results of both implementations, then measure a training step and inference."""
    features = [torch.randn(1, width, EDGE, EDGE).relu() for width in WIDTHS]
    batch = SimpleNamespace(image=features[0][:, :3])  # logits stay at the size of the features
    shape = f"features {tuple(features[-1].shape)}"

    def ours(features: Sequence[Tensor]) -> list[Tensor]:
        output = head(features, batch)
        pixels = Pixels(batch_size=1, height=EDGE, width=EDGE, device=output.logits.device)
        aux = {
            key: to_image(value, pixels) if key == "aux_logits" else value
            for key, value in output.aux.items()
        }
        return [to_image(output.logits, pixels), *(aux[key] for key in sorted(aux))]

    head.train()
    steps = [training_step(head, function, features) for function in (ours, published)]
    require_equal(*(step() for step in steps))
    yield measure(f"{name} head, training step, {shape}", steps[0], other, steps[1], rounds=3)

    head.eval()
    passes = [inference(function, features) for function in (ours, published)]
    require_equal(*(forward() for forward in passes))
    yield measure(f"{name} head, inference, {shape}", passes[0], other, passes[1], rounds=3)


def training_step(
    head: ImageHead, function: HeadFunction, features: Sequence[Tensor]
) -> Callable[[], list[Tensor]]:
    """Return a function that runs forward and backward from fixed gradients and returns outputs and gradients."""
    inputs = [feature.detach().requires_grad_() for feature in features]
    generator = torch.Generator().manual_seed(1)
    gradients = [torch.randn(output.shape, generator=generator) for output in function(inputs)]

    def step() -> list[Tensor]:
        head.zero_grad()
        for feature in inputs:
            feature.grad = None
        outputs = function(inputs)
        torch.autograd.backward(outputs, gradients)
        found = [feature.grad for feature in inputs] + [parameter.grad for parameter in head.parameters()]
        return [output.detach() for output in outputs] + [
            gradient for gradient in found if gradient is not None
        ]

    return step


def inference(function: HeadFunction, features: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
    def forward() -> list[Tensor]:
        with torch.inference_mode():
            return function(features)

    return forward


def require_equal(ours: list[Tensor], theirs: list[Tensor]) -> None:
    """Compare tensors up to rounding, by the norm of their differences.

    Convention:
        Norms are compared because rounding switches single ReLUs, which adds or removes their gradients. Tensors
        that should be 0, such as the gradient of the bias of the keys, are compared with the largest norm.
    """
    assert len(ours) == len(theirs)
    sizes = [float(expected.norm()) for expected in theirs]
    for found, expected, size in zip(ours, theirs, sizes):
        difference = float((found - expected).norm())
        assert difference <= 1e-3 * size + 1e-6 * max(sizes), f"not close: {difference} of {size}"


# --- published formulations


def published_ccnet(head: ImageHead, features: Sequence[Tensor]) -> list[Tensor]:
    """Compute RCCA as released, with ReLU as in mmsegmentation."""
    body = head.body
    assert isinstance(body, RCCABody)
    x = features[-1]
    context = conv_norm(body.before, x)
    for _ in range(body.recurrence):
        context = published_criss_cross(body.attention, context)
    merged = conv_norm(body.merge, torch.cat([x, conv_norm(body.after, context)], 1))
    return [pointwise(body.classify, merged), *auxiliary(head, features)]


def published_encnet(head: ImageHead, features: Sequence[Tensor]) -> list[Tensor]:
    """Compute EncNet as in mmsegmentation, with all residuals of pixels and codewords in memory."""
    body = head.body
    assert isinstance(body, EncBody)
    context = body.context
    assert context.presence is not None
    x = conv_norm(body.reduce, features[-1])
    linear, norm, _ = context.project
    projected = normalize(norm, pointwise(linear, x)).relu_()
    images = projected.flatten(2).mT
    encodings = torch.stack([materialized_encoding(context.encoding, pixels) for pixels in images])
    vector = normalize(context.norm, encodings).relu_().mean(1)
    gated = (x + x * context.gate(vector).sigmoid()[:, :, None, None]).relu_()
    return [pointwise(body.classify, gated), *auxiliary(head, features), context.presence(vector)]


def auxiliary(head: ImageHead, features: Sequence[Tensor]) -> list[Tensor]:
    """Return the logits of the auxiliary head, which runs in training only."""
    if not head.training:
        return []
    assert isinstance(head.auxiliary, FCNBody)
    return [pointwise(head.auxiliary.classify, conv_norm(head.auxiliary.reduce, features[-2]))]


def conv_norm(block: ConvNorm, image: Tensor) -> Tensor:
    """Compute a 3 x 3 convolution, norm and in-place ReLU."""
    weight, bias = block.conv.weight, block.conv.bias
    return normalize(block.norm, F.conv2d(image, weight, bias, padding=1)).relu_()


def normalize(norm: BatchNorm, x: Tensor) -> Tensor:
    return F.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum, norm.eps
    )


def pointwise(layer: nn.Linear, image: Tensor) -> Tensor:
    """Apply a linear layer to every pixel as a 1 x 1 convolution."""
    return F.conv2d(image, layer.weight[:, :, None, None], layer.bias)
