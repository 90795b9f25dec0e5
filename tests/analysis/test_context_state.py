"""Numbers of context modules are those of their definitions; heads without a cloud's own context."""

from functools import partial
from typing import Any

import pytest
import torch
from fakes import ConvBackbone
from torch_geometric.data import Batch, Data

from pcseg.analysis.context_state import State, cloud_state, has_context, parameters_of, without_own_context
from pcseg.analysis.explain import watched_parts, watching
from pcseg.heads.ccnet import PointRCCAHead
from pcseg.heads.ctnet import PointCTHead
from pcseg.heads.encnet import PointEncHead
from pcseg.heads.fcn import PointFCNHead
from pcseg.heads.point_base import PointContextHead
from pcseg.labels import S3DIS
from pcseg.segmentor import HeadFactory, Segmentor

K = S3DIS.num_classes
HEADS: dict[str, HeadFactory] = {
    "encnet": partial(PointEncHead, level=0, width=16, num_codewords=4),
    "ctnet": partial(PointCTHead, level=0, width=16, key_width=8),
    "ccnet": partial(PointRCCAHead, level=0, width=16, recurrence=2),
}


def cloud(seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm(216, generator=generator)[:60]
    grid_pos = torch.stack([cells // 36, cells // 6 % 6, cells % 6], 1)
    x = torch.randn(60, 4, generator=generator, dtype=torch.float64) + seed
    y = torch.randint(0, 4 + seed, (60,), generator=generator)
    return Batch.from_data_list([Data(x=x, grid_pos=grid_pos, y=y, num_nodes=60)])


def make_model(head: HeadFactory) -> Segmentor:
    model = Segmentor(ConvBackbone, head, in_channels=4, schema=S3DIS).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def state_of(model: Segmentor, batch: Any) -> State:
    assert isinstance(model.head, PointContextHead)
    body = model.head.body
    with torch.no_grad(), watching(watched_parts(body)) as calls:
        model(batch)
    return cloud_state(body, calls, batch, K)


def test_encnet() -> None:
    state = state_of(make_model(HEADS["encnet"]), cloud(1))
    assert state["occupancy"].shape == (4,)
    assert state["occupancy"].sum() == pytest.approx(1, abs=1e-6)
    assert 0.25 <= state["sharpness"] <= 1
    assert state["present"].tolist() == [True] * 5 + [False] * 8
    assert state["presence"].shape == (K,)


def test_ctnet() -> None:
    model = make_model(HEADS["ctnet"])
    state = state_of(model, cloud(1))
    torch.testing.assert_close(
        torch.from_numpy(state["class_prob"]), model(cloud(1)).aux["class_prob"][0].detach().float()
    )
    assert state["affinity"].sum() == pytest.approx(1, abs=1e-5)
    assert state["frequency"].sum() == pytest.approx(1)


def test_ccnet_adds_nothing_without_gamma() -> None:
    model = make_model(HEADS["ccnet"])
    state = state_of(model, cloud(1))
    assert all(state[name].shape == (2,) for name in ("entropy", "largest", "seen", "added"))
    assert (state["entropy"] > 0).all()
    assert (state["entropy"] <= 1).all()
    assert (state["added"] > 0).all()
    assert isinstance(model.head, PointRCCAHead)
    gamma = parameters_of(model.head.body)["gamma"]
    with without_own_context(model.head.body, []):
        assert not state_of(model, cloud(1))["added"].any()
    assert parameters_of(model.head.body)["gamma"] == pytest.approx(gamma)
    assert gamma != 0


@pytest.mark.parametrize("name", ["encnet", "ctnet"])
def test_without_its_own_context_a_cloud_is_gated_by_the_mean(name: str) -> None:
    model = make_model(HEADS[name])
    assert isinstance(model.head, PointContextHead)
    states = [state_of(model, cloud(seed)) for seed in (1, 2)]
    before = model(cloud(1)).logits
    with without_own_context(model.head.body, states):
        mean = (states[0]["channel"] + states[1]["channel"]) / 2
        assert state_of(model, cloud(1))["channel"] == pytest.approx(mean, abs=1e-5)
        assert not torch.allclose(model(cloud(1)).logits, before)
    assert torch.equal(model(cloud(1)).logits, before)
    with without_own_context(model.head.body, states[:1]):  # its own is its own
        torch.testing.assert_close(model(cloud(1)).logits, before, rtol=1e-4, atol=1e-4)


def test_a_head_without_context() -> None:
    model = make_model(partial(PointFCNHead, level=0, width=8))
    assert isinstance(model.head, PointContextHead)
    assert not has_context(model.head.body)
    assert state_of(model, cloud(0)) == {}
    assert parameters_of(model.head.body) == {}
