"""Schedules compared with torch's and at their ends."""

import pytest
import torch

from pcseg.training.schedules import OneCycle, Poly


def test_one_cycle_equals_torch() -> None:
    steps = 200
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.5, total_steps=steps, pct_start=0.1, div_factor=10, final_div_factor=1000,
        cycle_momentum=False,
    )  # fmt: skip
    # torch's warm-up ends at step pct_start * total - 1 of total - 1
    ours = OneCycle(warmup=(0.1 * steps - 1) / (steps - 1), div=10, final_div=1000)
    for step in range(steps):
        assert 0.5 * ours(step / (steps - 1)) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < steps - 1:
            theirs.step()


def test_poly_equals_the_formula_of_the_image_systems() -> None:
    assert Poly(power=0.9)(0.25) == pytest.approx(0.75**0.9)
    assert Poly()(1.0) == 0.0
    assert Poly()(1.01) == 0.0


def test_poly_multiplies_decay_and_warmup() -> None:
    """As in mmsegmentation; after the warm-up, only the decay remains."""
    schedule = Poly(power=1.0, warmup=0.2)
    assert schedule(0.0) == 0.0
    assert schedule(0.05) == pytest.approx(0.25 * 0.95)
    assert schedule(0.2) == pytest.approx(0.8)
    assert schedule(0.5) == Poly(power=1.0)(0.5)
