"""Cost of a training step of each variant: parameters, time and memory."""

from collections.abc import Callable
from pathlib import Path

import torch
from benchmarks.harness import interleaved_medians, peak_mb
from studies.harness import Outcome, Variant

from pcseg.cli import make_parser
from pcseg.config_names import expand_configs
from pcseg.training.segmentor import Segmentor
from pcseg.training.train import train

ROUNDS = 9


def measure_costs(outcomes: list[Outcome], *, data: Path) -> None:
    """Fill ``cost`` of every outcome: ``parameters``, median ``step_s``, ``step_mb`` (``None`` if that step fails).

    Convention:
        A step is forward, losses and backward on the same batch for all variants, which are timed in turn.
    """
    made = [training_step(outcome.variant, data=data) for outcome in outcomes]
    seconds = interleaved_medians([step for _, step in made], rounds=ROUNDS)
    for outcome, (model, step), step_s in zip(outcomes, made, seconds):
        outcome.cost = {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "step_s": step_s,
            "step_mb": peak_mb(step),
        }


def training_step(variant: Variant, *, data: Path) -> tuple[Segmentor, Callable[[], None]]:
    """Return the model of a variant and a function that runs one step of it on the first training batch."""
    parser = make_parser(train)
    options = ["--config", variant.config, "--data.root", str(data), *variant.options, "--out", "unused"]
    parts = parser.instantiate(parser.parse_args(expand_configs(options)[0]))
    torch.manual_seed(0)
    model = Segmentor(
        parts.backbone, parts.head,
        in_channels=parts.data.in_channels, schema=parts.data.schema, loss=parts.loss(parts.data.class_counts),
    )  # fmt: skip
    batch = next(iter(parts.data.train_dataloader()))

    def step() -> None:
        model.zero_grad(set_to_none=True)
        batch.voxels = None  # kernel maps are part of a step
        torch.stack(list(model.losses(model(batch), batch).values())).sum().backward()

    return model, step
