"""The encoding layer against the N x K x C formula, clouds of any size, and as a PyG aggregation."""

import pytest
import torch
from torch import Tensor

from pcseg.nn.encoding import ContextEncoding, EncodingLayer
from pcseg.nn.encoding_aggregation import EncodingAggregation

PTR = torch.tensor([0, 5, 5, 12])


def materialised(layer: EncodingLayer, x: Tensor) -> Tensor:
    residual = x[:, None] - layer.codewords
    assign = (layer.smoothing * residual.square().sum(2)).softmax(1)
    return (assign[:, :, None] * residual).sum(0)


def layer(reference_size: int | None = None) -> EncodingLayer:
    return EncodingLayer(4, 3, reference_size=reference_size).double()


def test_formula_and_gradients() -> None:
    encoding, x = layer(), torch.randn(12, 4, dtype=torch.float64, requires_grad=True)
    found = encoding(x, PTR)
    expected = torch.stack([materialised(encoding, part) for part in (x[:5], x[5:5], x[5:])])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    inputs = [x, *encoding.parameters()]
    cotangent = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad(found, inputs, cotangent), torch.autograd.grad(expected, inputs, cotangent)
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("assignment", ["shared", "cosine"])
def test_assignments_equal_loops(assignment: str) -> None:
    encoding = EncodingLayer(4, 3, assignment=assignment).double()
    x = 5 + torch.randn(12, 4, dtype=torch.float64)
    found = encoding.assign(x)
    for i, token in enumerate(x):
        if assignment == "shared":
            logits = [encoding.smoothing[0] * (token - d).square().sum() for d in encoding.codewords]
        else:
            logits = [10 * (token @ d) / (token.norm() * d.norm()) for d in encoding.codewords]
        torch.testing.assert_close(found[i], torch.stack(logits).softmax(0))
    residual = x[:5, None] - encoding.codewords
    expected = (found[:5, :, None] * residual).sum(0)
    torch.testing.assert_close(encoding(x, PTR)[0], expected)
    inputs = [x.requires_grad_(), encoding.smoothing, encoding.codewords]
    assert torch.autograd.gradcheck(lambda *_: encoding(x, PTR), inputs, fast_mode=True)


@pytest.mark.parametrize("assignment", ["distance", "shared", "cosine"])
def test_dead_codewords_restart_on_tokens(assignment: str) -> None:
    encoding = EncodingLayer(4, 3, assignment=assignment, restart=True).double()
    before, x = encoding.codewords.detach().clone(), torch.randn(12, 4, dtype=torch.float64)
    encoding.usage.copy_(torch.tensor([0.5, 0.02, 0.48]))  # an even share is 1/3
    encoding.eval()(x, PTR)
    assert torch.equal(encoding.codewords, before)
    encoding.train()(torch.full_like(x, torch.nan), PTR)
    assert torch.equal(encoding.codewords, before)
    torch.testing.assert_close(encoding.usage, torch.tensor([0.5, 0.02, 0.48], dtype=torch.float64))
    encoding(x, PTR).sum().backward()
    assert torch.equal(encoding.codewords[[0, 2]], before[[0, 2]])
    assert (encoding.codewords[1] == x).all(1).any()
    share = encoding.assign(x).mean(0)
    torch.testing.assert_close(
        encoding.usage, 0.99 * torch.tensor([0.5, 1 / 3, 0.48], dtype=torch.float64) + 0.01 * share
    )
    encoding(x[:0], torch.tensor([0, 0]))


def test_a_shared_factor_does_not_collapse() -> None:
    """Tokens far from all codewords: with a factor per codeword, the largest one takes nearly all of them."""
    torch.manual_seed(0)
    x = 0.7 * torch.randn(50, 128)  # squares sum up to about 60
    largest = {}
    for assignment in ("distance", "shared", "cosine"):
        layers = [EncodingLayer(128, 32, assignment=assignment) for _ in range(20)]
        shares = [layer.assign(x).amax(1).mean().item() for layer in layers]
        largest[assignment] = sum(shares) / len(shares)
    assert largest["distance"] > 0.6
    assert largest["shared"] < largest["cosine"] < 0.3


def test_golden_numbers() -> None:
    encoding = EncodingLayer(2, 2).double()
    encoding.codewords.data = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    encoding.smoothing.data = torch.tensor([-0.5, -1.0], dtype=torch.float64)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]], dtype=torch.float64)
    found = encoding(x, torch.tensor([0, 3]))[0]
    expected = torch.tensor([[0.860865, 0.860865], [0.503256, 0.503256]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_twice_the_cloud_is_twice_the_sum_but_the_same_reference() -> None:
    x = torch.randn(6, 4, dtype=torch.float64)
    ptr, doubled = torch.tensor([0, 6]), torch.tensor([0, 12])
    by_sum, by_reference = layer(), layer(reference_size=6)
    by_reference.load_state_dict(by_sum.state_dict())
    torch.testing.assert_close(by_reference(x, ptr), by_sum(x, ptr))
    torch.testing.assert_close(by_sum(x.repeat(2, 1), doubled), 2 * by_sum(x, ptr))
    torch.testing.assert_close(by_reference(x.repeat(2, 1), doubled), by_reference(x, ptr))


@pytest.mark.parametrize("reference_size", [None, 6])
def test_weights_count_tokens_more_than_once(reference_size: int | None) -> None:
    encoding, x = layer(reference_size=reference_size), torch.randn(5, 4, dtype=torch.float64)
    weight = torch.tensor([1.0, 2.0, 0.0, 3.0, 0.0], dtype=torch.float64)
    found = encoding(x, torch.tensor([0, 4, 5]), weight)
    expected = encoding(x[[0, 1, 1, 3, 3, 3]], torch.tensor([0, 6, 6]))
    torch.testing.assert_close(found, expected)
    module = ContextEncoding(4, 3, reference_size=reference_size).double().eval()
    twice, once = torch.tensor([0, 6]), torch.tensor([0, 4])
    torch.testing.assert_close(
        module.encode(x[:4], once, weight[:4]), module.encode(x[[0, 1, 1, 3, 3, 3]], twice)
    )


def test_as_aggregation() -> None:
    aggregation = EncodingAggregation(4, 3).double()
    x = torch.randn(12, 4, dtype=torch.float64)
    expected = aggregation.encoding(x, PTR).flatten(1)
    torch.testing.assert_close(aggregation(x, ptr=PTR), expected)
    index, order = torch.tensor([0] * 5 + [2] * 7), torch.randperm(12)
    torch.testing.assert_close(aggregation(x[order], index[order], dim_size=3), expected)
    torch.testing.assert_close(aggregation(x[:5]), expected[:1])


def test_half_precision_is_computed_in_float32() -> None:
    encoding, x = layer().float(), 30 + torch.randn(12, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = encoding(x, PTR)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, encoding(x.float(), PTR))


@pytest.mark.parametrize("pure_gate", [False, True])
@pytest.mark.parametrize("sum_codewords", [False, True])
def test_variants_of_the_gate(pure_gate: bool, sum_codewords: bool) -> None:
    options = {"pure_gate": pure_gate, "sum_codewords": sum_codewords}
    module = ContextEncoding(4, 3, **options).double().eval()
    x = torch.rand(12, 4, dtype=torch.float64)
    output = module(x, PTR)
    assert output.presence is None
    gate = output.x / x - (0 if pure_gate else 1)
    assert ((gate > 0) & (gate < 1)).all()
    codewords = module.norm(module.encoding(module.project(x), PTR)).relu()
    context = codewords.sum(1) if sum_codewords else codewords.mean(1)
    torch.testing.assert_close(gate[:5], module.gate(context)[:1].sigmoid().expand(5, -1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_module_in_half_precision_is_close(dtype: torch.dtype) -> None:
    module, x = ContextEncoding(4, 3, num_classes=2, reference_size=6).eval(), torch.randn(12, 4)
    exact = module(x, PTR)
    found = module.to(dtype)(x.to(dtype), PTR)
    for half, full in zip(found, exact):
        assert half.dtype == dtype
        torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.05)
