"""CTNet's modules and criss-cross attention: what the planar and golden tests do not show."""

import pytest
import torch

from pcseg.errors import UserError
from pcseg.nn.channel_context import ChannelContext, ChannelGate
from pcseg.nn.criss_cross import CrissCrossAttention
from pcseg.nn.spatial_context import ClassAttention
from pcseg.ops.attention import effective_attention
from pcseg.ops.lines import pixel_lines

PTR = torch.tensor([0, 5, 5, 12])


def test_gate_is_one_convolution_over_channels() -> None:
    gate = ChannelGate(kernel_sizes=(3, 5)).double()
    x = torch.randn(12, 9, dtype=torch.float64)
    short, long = (conv.weight for conv in gate.convs)
    weights = gate.mix.weight[0]
    kernel = weights[1] * long + weights[0] * torch.nn.functional.pad(short, (1, 1))
    mean = torch.stack([x[:5].mean(0), torch.zeros(9, dtype=torch.float64), x[5:].mean(0)])
    expected = torch.nn.functional.conv1d(mean[:, None], kernel, padding=2)[:, 0].sigmoid()
    torch.testing.assert_close(gate(x, PTR), expected)


def test_gate_of_a_large_cloud_in_half_precision() -> None:
    gate, ptr = ChannelGate(kernel_sizes=(3, 5)), torch.tensor([0, 30_000, 30_000])
    x = 3 + torch.rand(30_000, 9)  # whose sum is beyond float16
    expected = gate(x, ptr)
    torch.testing.assert_close(gate.half()(x.half(), ptr).float(), expected, rtol=2e-3, atol=2e-3)


def test_class_features_have_rank_one() -> None:
    module = ChannelContext(9, 4).double().eval()
    x = torch.randn(12, 9, dtype=torch.float64)
    output = module(x, PTR)
    assert torch.linalg.matrix_rank(output.class_features).tolist() == [1, 1, 1]
    torch.testing.assert_close(output.class_prob.sum(1), torch.ones(3, dtype=torch.float64))
    vector = output.class_features.sum(1)  # probabilities add up to one
    torch.testing.assert_close(output.x[:5], x[:5] * vector[0])
    torch.testing.assert_close(output.x[5:], x[5:] * vector[2])


class _Pointwise(torch.nn.Linear):
    def forward(self, x: torch.Tensor, sites: object) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x)


class _Clouds:
    ptr = PTR


def test_classes_in_another_order_change_nothing_for_tokens() -> None:
    module = ClassAttention(6, 3, conv=_Pointwise).double().eval()
    x, classes = torch.randn(12, 6, dtype=torch.float64), torch.rand(3, 4, 6, dtype=torch.float64)
    found = module(x, classes[:, [2, 0, 3, 1]], _Clouds())
    torch.testing.assert_close(found, module(x, classes, _Clouds()))


def test_heads_attend_with_their_part_of_the_channels() -> None:
    module = ClassAttention(6, 4, conv=_Pointwise, heads=2).double().eval()
    x, classes = torch.randn(12, 6, dtype=torch.float64), torch.rand(3, 5, 6, dtype=torch.float64)
    found, mean = module.attend(x, classes, _Clouds()), module.affinity(x, classes, _Clouds())
    query = module.query(x, None)
    for cloud, rows in enumerate((range(5), range(0), range(5, 12))):
        key, value = module.key(classes[cloud]), module.value(classes[cloud])
        for i in rows:
            weights = [
                torch.stack([query[i, part] @ k[part] / 2**0.5 for k in key]).softmax(0)
                for part in (slice(0, 2), slice(2, 4))
            ]
            read = torch.cat([weights[0] @ value[:, :2], weights[1] @ value[:, 2:]])
            torch.testing.assert_close(found[i], module.up(read[None])[0] + x[i])
            torch.testing.assert_close(mean[i], (weights[0] + weights[1]) / 2)


def test_criss_cross_starts_as_identity() -> None:
    module = CrissCrossAttention(16)
    x = torch.randn(6, 16)
    assert torch.equal(module(x, pixel_lines(1, 2, 3)), x)


@pytest.mark.parametrize(
    ("heads", "scaled", "axes"), [(1, True, 0), (4, False, 0), (2, True, 2), (1, False, 2)]
)
def test_options_of_criss_cross_attention_equal_loops(heads: int, scaled: bool, axes: int) -> None:
    module = CrissCrossAttention(24, reduction=3, heads=heads, scaled=scaled, relative_axes=axes).double()
    torch.nn.init.ones_(module.gamma)
    x, (height, width) = torch.randn(6, 24, dtype=torch.float64), (2, 3)
    position = torch.tensor([[i % width, i // width] for i in range(6)])
    query, key = (layer(x).view(6, heads, 8) for layer in (module.query, module.key))
    value = module.value(x).view(6, heads, -1)

    def logit(head: int, i: int, j: int) -> torch.Tensor:
        q, k, total = query[i, head], key[j, head], torch.zeros((), dtype=torch.float64)
        for pair in range(4):
            angle = torch.zeros((), dtype=torch.float64)
            if axes:  # two frequencies per axis, of 1 and 0.1 radians per voxel
                angle = (position[j] - position[i])[pair // 2] * 10.0 ** -(pair % 2)
            turned = torch.complex(k[2 * pair], k[2 * pair + 1]) * torch.polar(torch.ones_like(angle), angle)
            total = total + (torch.complex(q[2 * pair], -q[2 * pair + 1]) * turned).real
        return total / (8**0.5 if scaled else 1)

    found = module(x, pixel_lines(1, height, width), position)
    for i in range(6):
        seen = [j for j in range(6) if (position[i] == position[j]).any()]
        parts = []
        for head in range(heads):
            weights = torch.stack([logit(head, i, j) for j in seen]).softmax(0)
            parts.append((weights[:, None] * value[seen, head]).sum(0))
        torch.testing.assert_close(found[i], x[i] + torch.cat(parts))


def test_positions_are_relative() -> None:
    module = CrissCrossAttention(32, heads=2, relative_axes=2).double()
    torch.nn.init.ones_(module.gamma)
    x, position = torch.randn(6, 32, dtype=torch.float64), torch.randint(9, (6, 2))
    lines = pixel_lines(1, 2, 3)
    found = module(x, lines, position)
    torch.testing.assert_close(module(x, lines, position + 17), found)
    assert not torch.allclose(module(x, lines, 2 * position), found)
    with pytest.raises(UserError, match="position: relative axes need"):
        module(x, lines)


def test_attention_of_heads_is_their_mean() -> None:
    query, key = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    lines = pixel_lines(1, 2, 3)
    found = effective_attention([(query, key, lines)], 2)[0]
    each = [effective_attention([(query[:, h], key[:, h], lines)], 2)[0] for h in range(3)]
    torch.testing.assert_close(found, torch.stack(each).mean(0))


def test_recurrence_golden_numbers() -> None:
    """Query, key and value are the features; two rounds of x + attention(x) on a 2x3 image."""
    module = CrissCrossAttention(1, reduction=1).double()
    for layer in (module.query, module.key, module.value):
        torch.nn.init.ones_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    torch.nn.init.ones_(module.gamma)
    x = torch.arange(1, 7, dtype=torch.float64)[:, None] / 10
    for _ in range(2):
        x = module(x, pixel_lines(1, 2, 3))
    expected = [0.925338, 1.096985, 1.281135, 1.655897, 1.797767, 1.939729]
    assert x[:, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_too_few_channels_are_refused() -> None:
    with pytest.raises(UserError, match=r"channels: 7 is out of range\. Use at least 8"):
        CrissCrossAttention(7)
    with pytest.raises(UserError, match=r"channels: 32 is out of range\. Use at least 48"):
        CrissCrossAttention(32, relative_axes=3)
    with pytest.raises(UserError, match=r"heads: 3 is out of range\. Choose a positive divisor of 32"):
        CrissCrossAttention(32, heads=3)
