"""Our CCNet against the official one: criss-cross attention, RCCA head, OHEM and the two-headed criterion."""

from typing import Any

import torch
from compare import check_module, compare_gradients, compare_outputs
from golden import Golden
from helpers.heads import build_head, published_ccnet, run_image_head
from torch import Tensor, nn

from pcseg.labels import IGNORE_INDEX
from pcseg.losses.auxiliary import auxiliary_loss
from pcseg.losses.cross_entropy import cross_entropy
from pcseg.losses.ohem import keep_hard, zoomed_threshold
from pcseg.nn.criss_cross import CrissCrossAttention
from pcseg.nn.tokens import to_image, to_tokens
from pcseg.official.names.heads import CRISS_CROSS, RCCA_HEAD
from pcseg.ops.attention import union_attention
from pcseg.ops.lines import pixel_lines


def check_attention(golden: Golden) -> None:
    in_dim = golden.meta["constructor_args"]["in_dim"]

    def run(module: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, pixels = to_tokens(inputs["x"])
        size = (pixels.batch_size, pixels.height, pixels.width)
        lines = pixel_lines(*size)
        everywhere = union_attention(module.query(x), module.key(x), torch.eye(len(x)).to(x), lines)
        return {"y": to_image(module(x, lines), pixels), "attention": _by_column_and_row(everywhere, size)}

    check_module(golden, lambda dtype: CrissCrossAttention(in_dim), run, CRISS_CROSS)


def _by_column_and_row(weights: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Weights ``(N, N)`` as the official ``(B, H, W, H + W)``: the column without the pixel itself, then the row."""
    dense = weights.detach().view(*size, *size)
    b, y, x = torch.meshgrid(*[torch.arange(edge) for edge in size], indexing="ij")
    column = dense[b, y, x, b, :, x].clone()
    column[b, y, x, y] = 0
    return torch.cat([column, dense[b, y, x, b, y]], -1)


def check_rcca(golden: Golden) -> None:
    args = golden.meta["constructor_args"]

    def build(dtype: torch.dtype) -> nn.Module:
        config = published_ccnet(
            width=args["out_channels"],
            attention_width=args["in_channels"] // 4,
            recurrence=args["forward_recurrence"],
        )
        return build_head(config, [args["in_channels"]], args["num_classes"])

    def run(head: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": run_image_head(head, [inputs["x"]]).logits}

    check_module(golden, build, run, RCCA_HEAD)


def our_labels(target: Tensor, ignore: int) -> Tensor:
    return torch.where(target == ignore, IGNORE_INDEX, target)


def ohem(logits: Tensor, y: Tensor, args: dict[str, Any]) -> dict[str, Tensor]:
    threshold = zoomed_threshold(
        logits, y, threshold=args["thresh"], min_kept=args["min_kept"], factor=args.get("factor", 8)
    )
    rows = to_tokens(logits)[0]
    kept = keep_hard(rows, y.flatten(), threshold)
    return {"loss": cross_entropy(rows, kept), "threshold": threshold, "new_target": kept.view_as(y)}


def check_ohem(golden: Golden) -> None:
    args = golden.meta["constructor_args"]
    ignore = args["ignore_label"]
    for dtype in (torch.float64, torch.float32):
        inputs = golden.section("input.", dtype)
        inputs["predict"].requires_grad_()
        outputs = ohem(inputs["predict"], our_labels(inputs["target"], ignore), args)
        outputs["new_target"] = _their_labels(outputs["new_target"], ignore)
        compare_outputs(golden, outputs, dtype)
        compare_gradients(golden, inputs, outputs, dtype)


def _their_labels(y: Tensor, ignore: int) -> Tensor:
    return torch.where(y == IGNORE_INDEX, ignore, y)


def check_criterion(golden: Golden) -> None:
    args = golden.meta["constructor_args"]["CriterionOhemDSN"]
    for dtype in (torch.float64, torch.float32):
        inputs = golden.section("input.", dtype)
        prediction, dsn = inputs["pred"].requires_grad_(), inputs["dsn"].requires_grad_()
        y = our_labels(inputs["target"], args["ignore_index"])
        main = auxiliary_loss(prediction, y, align_corners=True)
        aux = 0.4 * auxiliary_loss(dsn, y, align_corners=True)
        full = nn.functional.interpolate(prediction, y.shape[1:], mode="bilinear", align_corners=True)
        hard = ohem(full, y, args)
        outputs = {
            "criterion_dsn": main + aux,
            "criterion_dsn_single": main,
            "criterion_ohem_dsn": hard["loss"] + aux,
            "ohem_threshold": hard["threshold"],
            "ohem_new_target": _their_labels(hard["new_target"], args["ignore_index"]),
        }
        compare_outputs(golden, outputs, dtype)
        compare_gradients(golden, inputs, outputs, dtype)


CHECKS = {
    "ccnet_cca": check_attention,
    "ccnet_rcca": check_rcca,
    "ccnet_ohem": check_ohem,
    "ccnet_criterion": check_criterion,
}
