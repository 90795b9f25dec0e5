"""Lovász-softmax against the official implementation: value and gradient, float64 and float32."""

import pytest
import torch
from golden import Golden

from pcseg.labels import IGNORE_INDEX
from pcseg.losses.lovasz import lovasz_softmax


def check_lovasz(golden: Golden) -> None:
    args = golden.meta["args"]
    if args["class_seen"] is not None or args["per_image"] or args["mode"] != "multiclass":
        pytest.skip(f"{golden.path.name}: {args} is another loss than ours")
    target = golden.tensor("input.target")
    if args["ignore_index"] is not None:
        target[target == args["ignore_index"]] = IGNORE_INDEX
    for dtype, suffix, atol in ((torch.float64, "64", 1e-9), (torch.float32, "", 1e-4)):
        logits = golden.tensor("input.logits", dtype).requires_grad_()
        loss = args["loss_weight"] * lovasz_softmax(logits, target)
        loss.backward()
        torch.testing.assert_close(loss.detach(), golden.tensor(f"output.loss{suffix}"), atol=atol, rtol=0)
        expected = golden.tensor(f"output.grad_logits{suffix}")
        torch.testing.assert_close(logits.grad, expected, atol=atol / 10, rtol=0)


CHECKS = {"lovasz_softmax": check_lovasz}
