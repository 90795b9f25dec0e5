"""What a training step of each variant costs: parameters, and time and memory measured in turn."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from benchmarks.harness import peak_mb
from studies.harness import ROOT, Outcome, Variant

from pcseg.cli import make_parser
from pcseg.training.segmentor import Segmentor, count_parameters
from pcseg.training.train import train

ROUNDS = 9


def measure_costs(outcomes: list[Outcome], *, data: Path) -> None:
    """Fill ``cost`` of every outcome: ``parameters``, median ``step_s``, ``step_mb``.

    Convention:
        A step is forward, losses and backward on the same batch for all. Steps are timed in turn, after one
        warm-up, so that a load on the machine meets all of them.
    """
    models, steps = {}, {}
    for outcome in outcomes:
        models[outcome.variant.name], steps[outcome.variant.name] = training_step(outcome.variant, data=data)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(ROUNDS):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    for outcome in outcomes:
        name = outcome.variant.name
        outcome.cost = {
            "parameters": count_parameters(models[name]),
            "step_s": statistics.median(seconds[name]),
            "step_mb": peak_mb(steps[name]) or float("nan"),
        }


def training_step(variant: Variant, *, data: Path) -> tuple[Segmentor, Callable[[], None]]:
    """The model of a variant, and one step of it on the first batch of training."""
    parser = make_parser(train)
    options = ["--config", str(ROOT / variant.config), "--data.root", str(data), *variant.options]
    parts = parser.instantiate(parser.parse_args([*options, "--out", "unused"]))
    torch.manual_seed(0)
    model = Segmentor(
        parts.backbone, parts.head,
        in_channels=parts.data.in_channels, schema=parts.data.schema, loss=parts.loss(parts.data.class_counts),
    )  # fmt: skip
    batch = next(iter(parts.data.train_loader()))

    def step() -> None:
        model.zero_grad(set_to_none=True)
        batch.voxels = None  # kernel maps are part of a step
        torch.stack(list(model.losses(model(batch), batch).values())).sum().backward()

    return model, step
