"""Learning rates of the parts of a segmentor."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.fakes import ConvBackbone
from torch import nn
from torch.optim import SGD, Optimizer

from pcseg.errors import UserError
from pcseg.heads import FCNBody, PointHead
from pcseg.labels import S3DIS
from pcseg.training.segmentor import Segmentor


def made(**options: Any) -> Segmentor:
    head = partial(PointHead, body=partial(FCNBody, width=8), level=0)
    model = Segmentor(
        ConvBackbone, head, in_channels=4, schema=S3DIS, optimizer=partial(SGD, lr=0.1), **options
    )
    model.trainer = SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]
    return model


def rates(model: Segmentor) -> dict[str, float]:
    """The base rate of every parameter."""
    optimizer: Optimizer = model.configure_optimizers()["optimizer"]
    rate = {id(p): group["initial_lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: rate[id(parameter)] for name, parameter in model.named_parameters()}


def test_one_rate_for_all() -> None:
    assert set(rates(made()).values()) == {0.1}


def test_rates_by_part_and_by_name() -> None:
    found = rates(made(head_lr_scale=10.0, lr_scales={"norm": 0.5, "reduce": 0.1, "backbone.conv.bias": 0.0}))
    assert {"backbone.conv.bias", "head.body.reduce.norm.weight"} <= found.keys()
    for name, rate in found.items():
        expected = 1.0 if name.startswith("head.") else 0.1
        if "norm" in name:  # the first word counts
            expected *= 0.5
        elif "reduce" in name:
            expected *= 0.1
        elif name == "backbone.conv.bias":
            expected = 0.0
        assert rate == pytest.approx(expected), name


def test_every_parameter_has_one_rate() -> None:
    model = made(lr_scales={"norm": 0.5})
    groups = model.configure_optimizers()["optimizer"].param_groups
    parameters: list[nn.Parameter] = [p for group in groups for p in group["params"]]
    assert len(parameters) == len(set(map(id, parameters))) == len(list(model.parameters()))
    assert all(isinstance(parameter, torch.Tensor) for parameter in parameters)


def test_lr_scales_must_match_a_parameter() -> None:
    with pytest.raises(UserError, match="lr_scales: no parameter name contains blok, heads"):
        made(lr_scales={"heads": 2.0, "blok": 0.1, "norm": 1.0}).configure_optimizers()
