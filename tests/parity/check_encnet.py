"""Our EncNet against the official one: encoding layer, context encoding module, heads and the loss."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from compare import (
    check_module,
    compare_gradients,
    compare_outputs,
    compare_running_statistics,
    load,
)
from golden import Golden
from helpers.heads import build_head, published_encnet, run_image_head
from torch import Tensor, nn

from pcseg.heads import FCNBody
from pcseg.labels import IGNORE_INDEX
from pcseg.losses.cloud_classes import class_presence, presence_loss
from pcseg.losses.cross_entropy import cross_entropy
from pcseg.nn.encoding import ContextEncoding, EncodingLayer
from pcseg.nn.norms import BatchNorm, BiasedBatchNorm
from pcseg.nn.tokens import PixelConv, to_image, to_tokens
from pcseg.official.names.heads import CONTEXT_ENCODING, ENC_HEAD, ENCODING, FCN_BODY


def check_encoding(golden: Golden) -> None:
    args = golden.meta["constructor_args"]

    def run(layer: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = inputs["x"]
        tokens, pixels = to_tokens(x if x.ndim == 4 else x[..., None])
        assign = layer.assign(tokens).view(pixels.batch_size, -1, args["K"])
        residuals = tokens[:, None] - layer.codewords
        scaled = (layer.smoothing * residuals.square().sum(2)).view_as(assign)
        return {"encoding": layer(tokens, pixels.ptr), "assign": assign, "scaled_l2": scaled}

    check_module(golden, lambda dtype: EncodingLayer(args["D"], args["K"]), run, ENCODING)


def check_module_with_gate(golden: Golden) -> None:
    args = golden.meta["constructor_args"]

    def build(dtype: torch.dtype, biased_variance: bool = False) -> nn.Module:
        return ContextEncoding(
            args["in_channels"],
            args["ncodes"],
            num_classes=args["nclass"] if args["se_loss"] else None,
            norm=BiasedBatchNorm if biased_variance else BatchNorm,
        )

    def run(module: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, pixels = to_tokens(inputs["x"])
        seen: dict[str, Tensor] = {}
        hooks = [
            module.encoding.register_forward_hook(lambda m, i, o: seen.update(encoding_layer=o)),
            module.gate.register_forward_hook(lambda m, i, o: seen.update(en=i[0], gamma=o.sigmoid())),
        ]
        output = module(x, pixels.ptr)
        for hook in hooks:
            hook.remove()
        outputs = seen | {"feat": to_image(output.x, pixels)}
        return outputs if output.presence is None else outputs | {"se": output.presence}

    check_module(golden, build, run, CONTEXT_ENCODING)
    _check_biased_variance(golden, partial(build, torch.float64, biased_variance=True), run, CONTEXT_ENCODING)


def _check_biased_variance(golden: Golden, build: Any, run: Any, names: dict[str, str]) -> None:
    if golden.meta["mode"] == "train":
        module = build()
        load(module, golden, names, torch.float64)
        run(module, golden.section("input.", torch.float64))
        compare_running_statistics(golden, module, names, "after_train_official_biased.")


def check_head(golden: Golden) -> None:
    args = golden.meta["constructor_args"]
    wanted = ["c2", "c3", "c4"] if args["lateral"] else ["c4"]

    def build(dtype: torch.dtype, biased_variance: bool = False) -> nn.Module:
        config = published_encnet(
            width=args["small_widths"]["mid"],
            num_codewords=args["ncodes"],
            lateral=args["lateral"],
            presence_weight=0.2 if args["se_loss"] else 0.0,
            dropout=0.0,
            norm="BiasedBatchNorm" if biased_variance else None,
        )
        channels = [golden[f"input.{name}"].shape[1] for name in wanted]
        return build_head(config, channels, args["out_channels"])

    def run(head: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        output = run_image_head(head, [inputs[name] for name in wanted])
        return {"logits": output.logits, "se": output.aux.get("presence", torch.empty(0))}

    check_module(golden, build, run, ENC_HEAD)
    _check_biased_variance(golden, partial(build, torch.float64, biased_variance=True), run, ENC_HEAD)


def check_fcn(golden: Golden) -> None:
    args = golden.meta["constructor_args"]
    assert not args["with_global"]

    def build(dtype: torch.dtype) -> nn.Module:
        return FCNBody(args["in_channels"], args["out_channels"], [], PixelConv)

    def run(body: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, pixels = to_tokens(inputs["x"])
        return {"logits": to_image(body(x, pixels).logits, pixels)}

    check_module(golden, build, run, FCN_BODY)


def check_loss(golden: Golden) -> None:
    args = golden.meta["constructor_args"]
    for dtype in (torch.float64, torch.float32):
        inputs = golden.section("input.", dtype)
        for value in inputs.values():
            value.requires_grad_(value.is_floating_point())
        weight = None if args["weight"] is None else torch.tensor(args["weight"], dtype=dtype)
        target = inputs["target"]
        rows = target.flatten().where(target.flatten() != args["ignore_index"], IGNORE_INDEX)
        loss = cross_entropy(to_tokens(inputs["pred"])[0], rows, weight=weight)
        outputs = {}
        if args["aux"]:
            aux = cross_entropy(to_tokens(inputs["aux_pred"])[0], rows, weight=weight)
            loss = loss + args["aux_weight"] * aux
        if args["se_loss"]:
            ptr = torch.arange(len(target) + 1) * target[0].numel()
            presence = class_presence(rows, ptr, args["nclass"])
            if weight is None:
                se_loss = presence_loss(inputs["se_pred"], presence)
            else:  # the official loss passes the class weights of the cross-entropy on
                se_loss = F.binary_cross_entropy_with_logits(inputs["se_pred"], presence.to(dtype), weight)
            loss = loss + args["se_weight"] * se_loss
            outputs["se_target"] = presence
        compare_outputs(golden, outputs | {"loss": loss}, dtype)
        compare_gradients(golden, inputs, outputs | {"loss": loss}, dtype)


CHECKS = {
    "encnet_encoding": check_encoding,
    "encnet_encmodule": check_module_with_gate,
    "encnet_enchead": check_head,
    "encnet_fcnhead": check_fcn,
    "encnet_loss": check_loss,
}
