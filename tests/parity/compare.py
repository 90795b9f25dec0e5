"""Comparison of our modules with golden arrays: outputs, gradients, running statistics, in both precisions."""

from collections.abc import Callable, Mapping

import torch
from golden import Golden
from torch import Tensor, nn

from pcseg.official.loading import load_published
from pcseg.official.names.name_map import NameMap, Names

WEIGHT_FLOOR = {torch.float64: 1e-3, torch.float32: 1e-1}
"""Gradients that are nothing but rounding (a bias before a batch norm, the bias of the keys) are compared with this
share of the greatest gradient."""


def error(actual: Tensor, expected: Tensor, floor: float = 0.0) -> float:
    """Greatest difference over the greatest reference, as the golden files measure it."""
    assert actual.shape == expected.shape, f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    if expected.numel() == 0:
        return 0.0
    scale = max(expected.abs().max().item(), floor)
    return (actual.double() - expected.double()).abs().max().item() / (scale or 1.0)


def tolerance(golden: Golden, dtype: torch.dtype) -> float:
    stated = golden.meta["tolerance"]
    if dtype == torch.float32:
        return stated["float32"]
    return stated.get("float64", stated.get("float64_vs_output_doubleconst"))


def load(module: nn.Module, golden: Golden, names: Names, dtype: torch.dtype) -> None:
    """Fill ``module`` with the file's weights, all of them, in the precision and the mode of the file."""
    module.to(dtype).train(golden.meta["mode"] == "train")
    report = load_published(module, golden.section("weight.", dtype), NameMap(names=names))
    assert not report.unexpected, f"weights without a counterpart: {report.unexpected}"


def check_module(
    golden: Golden,
    build: Callable[[torch.dtype], nn.Module],
    run: Callable[[nn.Module, dict[str, Tensor]], Mapping[str, Tensor]],
    names: Names,
) -> None:
    """Compare everything the file has, in float64 and float32.

    Args:
        golden: The file.
        build: Makes our module with the file's shapes.
        run: Takes the module and the inputs, returns outputs by the file's names.
        names: Our names of the file's weights.
    """
    for dtype in (torch.float64, torch.float32):
        module = build(dtype)
        load(module, golden, names, dtype)
        inputs = golden.section("input.", dtype)
        for value in inputs.values():
            value.requires_grad_(value.is_floating_point())
        outputs = run(module, inputs)
        compare_outputs(golden, outputs, dtype)
        compare_gradients(golden, inputs, outputs, dtype)
        compare_weight_gradients(golden, module, names, dtype)
        compare_running_statistics(golden, module, names, "after_train.")


def exact_section(golden: Golden, kind: str) -> dict[str, Tensor]:
    """``output.*`` or ``grad_input.*``, replaced by those with constants in full precision where there are such."""
    return golden.section(f"{kind}.") | golden.section(f"{kind}_doubleconst.")


def compare_outputs(golden: Golden, outputs: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    expected = exact_section(golden, "output")
    assert expected.keys() <= outputs.keys(), f"not compared: {sorted(expected.keys() - outputs.keys())}"
    for name, value in expected.items():
        limit = tolerance(golden, dtype)
        found = error(outputs[name].detach(), value)
        assert found <= limit, f"output.{name} in {dtype}: {found:.2e} > {limit:.0e}"


def compare_gradients(
    golden: Golden, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], dtype: torch.dtype
) -> None:
    cotangents = golden.section("cotangent.", dtype)
    torch.stack(
        [(outputs[name] * cotangent).sum() for name, cotangent in cotangents.items()]
    ).sum().backward()
    for name, value in exact_section(golden, "grad_input").items():
        gradient = inputs[name].grad
        found = error(torch.zeros_like(inputs[name]) if gradient is None else gradient, value)
        limit = tolerance(golden, dtype)
        assert found <= limit, f"grad_input.{name} in {dtype}: {found:.2e} > {limit:.0e}"


def compare_weight_gradients(golden: Golden, module: nn.Module, names: Names, dtype: torch.dtype) -> None:
    expected = golden.section("grad_weight.")
    limit = max(tolerance(golden, dtype), _loosest(golden) if dtype == torch.float64 else 2e-4)
    floor = WEIGHT_FLOOR[dtype] * max((value.abs().max().item() for value in expected.values()), default=0.0)
    parameters = dict(module.named_parameters())
    for published, value in expected.items():
        parameter = parameters[NameMap(names=names).our_name(published) or ""]
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        found = error(gradient.reshape(value.shape), value, floor)
        assert found <= limit, f"grad_weight.{published} in {dtype}: {found:.2e} > {limit:.0e}"


def _loosest(golden: Golden) -> float:
    """Weights' gradients of files with constants in full precision exist with rounded ones only."""
    return golden.meta["tolerance"].get("float64_vs_output", 0.0)


def compare_running_statistics(golden: Golden, module: nn.Module, names: Names, section: str) -> None:
    state = module.state_dict()
    limit = golden.meta["tolerance"].get("after_train", 1e-6)
    for published, value in golden.section(section).items():
        found = error(state[NameMap(names=names).our_name(published) or ""], value)
        assert found <= limit, f"{section}{published}: {found:.2e} > {limit:.0e}"
