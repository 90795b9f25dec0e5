"""Our CCNet against the official one: criss-cross attention, RCCA head, OHEM and the two-headed criterion."""

from typing import Any

import torch
import torch.nn.functional as F
from compare import check_module, compare_gradients, compare_outputs
from golden import Golden
from helpers.heads import build_head, published_ccnet, run_image_head
from torch import Tensor, nn

from pcseg.heads.images import corner_aligned_labels
from pcseg.labels import IGNORE_INDEX
from pcseg.losses.cross_entropy import cross_entropy
from pcseg.losses.ohem import hard_threshold, keep_hard, true_class_prob
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
    rows, labels = to_tokens(logits)[0], y.flatten()
    kept = keep_hard(true_class_prob(rows, labels), labels, threshold)
    return {"loss": cross_entropy(rows, kept), "threshold": threshold, "new_target": kept.view_as(y)}


def zoomed_threshold(
    logits: Tensor, y: Tensor, *, threshold: float, min_kept: int, factor: int = 8
) -> Tensor:
    """Return :func:`hard_threshold` of images ``(B, K, H, W)`` made ``factor`` times smaller, as CCNet computes it.

    Convention:
        Corner pixels stay corner pixels. Probabilities are interpolated, labels ``(B, H, W)`` are those of the nearest
        pixel. ``min_kept`` counts full-size pixels.
    """
    size = [round(edge / factor) for edge in y.shape[1:]]
    with torch.no_grad():
        prob = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
        prob = F.interpolate(prob, size, mode="bilinear", align_corners=True)
    y = corner_aligned_labels(y, size)
    true_prob = prob.gather(1, y.clamp(min=0)[:, None])[:, 0]
    kept = min_kept // factor**2
    return hard_threshold(true_prob[y != IGNORE_INDEX], threshold=threshold, min_kept=kept)


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
        full, full_dsn = (
            F.interpolate(logits, y.shape[1:], mode="bilinear", align_corners=True)
            for logits in (prediction, dsn)
        )
        main = cross_entropy(to_tokens(full)[0], y.flatten())
        aux = 0.4 * cross_entropy(to_tokens(full_dsn)[0], y.flatten())
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
