"""The loader of published weights: reports and refusals."""

import pytest
import torch

from pcseg.errors import UserError
from pcseg.nn.criss_cross import CrissCrossAttention
from pcseg.official.loading import load_published
from pcseg.official.names.heads import CRISS_CROSS
from pcseg.official.names.name_map import NameMap, prefix_before

NAMES = NameMap(names=CRISS_CROSS, ignored=("old.",))


def test_report_accounts_for_every_name() -> None:
    state = {
        "query_conv.weight": torch.ones(1, 8, 1, 1),
        "key_conv.weight": torch.ones(1, 8, 1, 1),
        "gamma": torch.ones(1),
        "rel_pos": torch.ones(3),
        "old.bias": torch.ones(1),
    }
    module = CrissCrossAttention(8)
    report = load_published(module, state, NAMES)
    assert list(report.taken.values()) == ["query.weight", "key.weight", "gamma"]
    assert report.missing == ["query.bias", "key.bias", "value.weight", "value.bias"]
    assert (report.unexpected, report.ignored) == (["rel_pos"], ["old.bias"])
    assert module.query.weight.eq(1).all()
    assert "key_conv.weight -> key.weight" in str(report)
    assert report.summary(2) == [
        "3 tensors taken",
        "4 missing here, initial values kept: query.bias, key.bias and 2 more",
        "1 unexpected, left out: rel_pos",
        "1 not needed, left out: old.bias",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value_conv.weight": torch.ones(4, 8, 1, 1)}, r"\(4, 8, 1, 1\), but value.weight here .* \(8, 8\)"),
        ({"query.weight": torch.ones(1, 8)}, None),
        ({"rel_pos": torch.ones(3)}, "it has no counterpart here for rel_pos"),
        ({"gamma": None}, "it lacks gamma"),
    ],
)
def test_refusals_change_nothing(change: dict, message: str | None) -> None:
    source = CrissCrossAttention(8)
    published = {ours: theirs for theirs, ours in CRISS_CROSS.items()}
    state = {
        name.replace(module, published[module]): tensor + 1
        for name, tensor in source.state_dict().items()
        for module in published
        if name.startswith(module)
    }
    state = {name: tensor for name, tensor in (state | change).items() if tensor is not None}
    module = CrissCrossAttention(8)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    if message is None:
        names = NameMap(names=CRISS_CROSS | {"query.weight": "query.weight"})
        with pytest.raises(UserError, match=r"both stand for query\.weight"):
            load_published(module, state, names)
    else:
        with pytest.raises(UserError, match=message):
            load_published(module, state, NAMES, strict=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_the_prefix_of_the_student_is_preferred() -> None:
    state = {f"module.{side}.backbone.stem.weight": torch.ones(1) for side in ("teacher", "student")}
    assert prefix_before("stem.weight", state) == "module.student.backbone."
    assert prefix_before("weight", {"stem_weight": torch.ones(1)}) is None
