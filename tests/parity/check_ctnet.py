"""Our CTNet against the official one: CCM, SCM, head, whole model and the loss."""

from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import compare
import torch
from compare import compare_gradients, compare_outputs
from golden import Golden
from helpers.heads import as_image, build_head, image_batch, published_ctnet, run_image_head
from torch import Tensor, nn

from pcseg.heads import ImageHead
from pcseg.labels import IGNORE_INDEX
from pcseg.losses.cloud_classes import class_frequency, class_frequency_loss
from pcseg.losses.cross_entropy import cross_entropy
from pcseg.nn.channel_context import ChannelContext, ChannelGate
from pcseg.nn.norms import PaddleBatchNorm
from pcseg.nn.spatial_context import ClassAttention, SpatialContext
from pcseg.nn.tokens import PixelConv, to_image, to_tokens
from pcseg.official.names.heads import (
    CHANNEL_CONTEXT,
    CHANNEL_GATE,
    CLASS_ATTENTION,
    CT_HEAD,
    SPATIAL_CONTEXT,
    Names,
    under,
)
from pcseg.ops.clouds import cloud_mean, spread


class PaddleMean(torch.autograd.Function):
    """The mean of every cloud; Paddle rounds 1/n to float32 in backward, in float64 as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ptr: Tensor, weight: None) -> Tensor:
        ctx.sizes = ptr.diff().tolist()
        return cloud_mean(x, ptr)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        shares = torch.tensor([1 / size for size in ctx.sizes], dtype=torch.float32).to(grad)
        return torch.cat([(g * s).expand(n, -1) for g, s, n in zip(grad, shares, ctx.sizes)]), None, None


def check_module(
    golden: Golden,
    build: Callable[[torch.dtype], nn.Module],
    run: Callable[[nn.Module, dict[str, Tensor]], Mapping[str, Tensor]],
    names: Names,
) -> None:
    with mock.patch("pcseg.nn.channel_context.cloud_mean", PaddleMean.apply):
        compare.check_module(golden, build, run, names)


def official_matrix(class_features: Tensor) -> Tensor:
    """Class features ``(B, K, C)`` as the official ``(B, C, K, 1)``."""
    return class_features.mT[..., None]


def check_gate(golden: Golden) -> None:
    def build(dtype: torch.dtype) -> nn.Module:
        return ChannelGate(kernel_sizes=golden.meta["constructor_args"]["k_size"])

    def run(gate: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, pixels = to_tokens(inputs["x"])
        vector = gate(x, pixels.ptr)
        gated = to_image(x * spread(vector, pixels.ptr), pixels)
        return {"feat": gated, "y": vector[:, :, None, None]}

    check_module(golden, build, run, CHANNEL_GATE)


def check_channel_context(golden: Golden) -> None:
    args = golden.meta["constructor_args"]

    def build(dtype: torch.dtype) -> nn.Module:
        return ChannelContext(args["pixels_channels"], args["class_channels"], class_norm=PaddleBatchNorm)

    def run(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, pixels = to_tokens(inputs["x"])
        x, prob, features = module(x, pixels.ptr)
        matrix = official_matrix(features)
        return {"feat": to_image(x, pixels), "cls_app": prob[..., None], "cls_matrix": matrix}

    check_module(golden, build, run, CHANNEL_CONTEXT)


def check_class_attention(golden: Golden) -> None:
    args = golden.meta["constructor_args"]

    def build(dtype: torch.dtype) -> nn.Module:
        return ClassAttention(args["in_channels"], args["key_channels"], conv=PixelConv, norm=PaddleBatchNorm)

    check_module(golden, build, _attend, CLASS_ATTENTION)


def check_spatial_context(golden: Golden) -> None:
    args = golden.meta["constructor_args"]
    assert args["in_channels"] == args["out_channels"]

    def build(dtype: torch.dtype) -> nn.Module:
        return SpatialContext(args["in_channels"], args["key_channels"], conv=PixelConv, norm=PaddleBatchNorm)

    check_module(golden, build, _attend, SPATIAL_CONTEXT)


def _attend(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs of a spatial context module, or of its attention alone; both show what goes into the fusion."""
    x, pixels = to_tokens(inputs["x"])
    attention: Any = getattr(module, "attention", module)
    seen: dict[str, Tensor] = {}
    hook = attention.fuse.register_forward_hook(lambda m, i, o: seen.update(pre_fuse=to_image(i[0], pixels)))
    y = module(x, inputs["cls_matrix"][..., 0].mT, pixels)
    hook.remove()
    return seen | {"y": to_image(y, pixels)}


def _build_head(golden: Golden) -> ImageHead:
    args = golden.meta["constructor_args"]
    config = published_ctnet(width=args["mid_channels"], key_width=args["key_channels"])
    config["init_args"]["align_corners"] = args.get("align_corners", False)
    return build_head(config, [golden[key].shape[1] for key in _features(golden)], args["num_classes"])


def _features(golden: Golden) -> list[str]:
    """Keys of the features, shallow before deep."""
    order = ["input.feat_shallow", "input.feat_deep", "input.feat"]
    return [key for key in order if key in golden]


def check_head(golden: Golden) -> None:
    def run(head: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        features = [inputs[key.removeprefix("input.")] for key in _features(golden)]
        seen: list[Tensor] = []
        hook = head.auxiliary.register_forward_hook(lambda module, inputs, made: seen.append(made.logits))
        output = run_image_head(head, features)
        x, pixels = to_tokens(features[0])
        if not seen:  # the official head computes auxiliary logits in evaluation, too
            head.auxiliary(x, pixels)
        hook.remove()
        aux = to_image(seen[0], pixels)
        matrix = official_matrix(output.aux["class_features"])
        return {
            "logits": output.logits,
            "aux": aux,
            "cls_app": output.aux["class_prob"],
            "cls_matrix": matrix,
        }

    check_module(golden, lambda dtype: _build_head(golden), run, CT_HEAD)


def check_wrapper(golden: Golden) -> None:
    """The whole model around given features: the head's logits at the size of the image."""
    height, width = golden.meta["image_size"]

    def run(head: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        features = [inputs[key.removeprefix("input.")] for key in _features(golden)]
        small: dict[str, Tensor] = {}

        def keep(name: str, size: torch.Size) -> Any:
            def hook(module: nn.Module, args: Any, output: Tensor) -> None:
                small[name] = output.view(size[0], *size[2:], -1).permute(0, 3, 1, 2)

            return hook

        hooks = [
            head.body.classify.register_forward_hook(keep("logits_before_resize", features[-1].shape)),
            head.auxiliary.classify.register_forward_hook(keep("aux_before_resize", features[0].shape)),
        ]
        output = run_image_head(head, features, (height, width))
        for hook in hooks:
            hook.remove()
        outputs = small | {"logits": output.logits, "cls_app": output.aux["class_prob"]}
        if "aux_logits" in output.aux:
            outputs["aux"] = as_image(output.aux["aux_logits"], image_batch(features, (height, width)))
        return outputs

    check_module(golden, lambda dtype: _build_head(golden), run, under("head", "", CT_HEAD))


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits ``(B, K, H, W)`` of labels ``(B, H, W)``."""
    return cross_entropy(to_tokens(logits)[0], y.flatten())


def check_loss(golden: Golden) -> None:
    args = golden.meta["constructor_args"]
    main_factor, aux_factor, class_factor = args["coef"]
    for dtype in (torch.float64, torch.float32):
        inputs = golden.section("input.", dtype)
        for value in inputs.values():
            value.requires_grad_(value.is_floating_point())
        y = torch.where(inputs["label"] == 255, IGNORE_INDEX, inputs["label"])
        ptr = torch.arange(len(y) + 1) * y[0].numel()
        labeled = (y != IGNORE_INDEX).double().mean().item()
        damped = labeled / (labeled + 1e-8)  # Paddle adds 1e-8 to the share of labeled pixels
        frequency = class_frequency(y.flatten(), ptr, args["nclass"])
        outputs = {
            "ce_main_x_coef": main_factor * damped * _cross_entropy(inputs["logits"], y),
            "ce_aux_x_coef": aux_factor * damped * _cross_entropy(inputs["aux"], y),
            "app_x_coef": class_factor * class_frequency_loss(inputs["cls_app"], frequency),
        }
        outputs["total"] = torch.stack(list(outputs.values())).sum()
        outputs["label_vector"] = frequency
        compare_outputs(golden, outputs, dtype)
        compare_gradients(golden, inputs, outputs, dtype)


CHECKS = {
    "ctnet_ccm_layer": check_gate,
    "ctnet_ccm": check_channel_context,
    "ctnet_scm_layer": check_class_attention,
    "ctnet_scm": check_spatial_context,
    "ctnet_head": check_head,
    "ctnet_model": check_wrapper,
    "ctnet_loss": check_loss,
}
