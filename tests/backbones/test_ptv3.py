"""Point Transformer V3: its levels, independence of clouds, training, gradients, and its presets."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from helpers.tiny_ptv3 import batch_of, cloud, tiny
from torch import Tensor
from torch_geometric.data import Data

from pcseg.backbones.points import ptv3_blocks
from pcseg.backbones.points.ptv3 import Sonata, Utonia, ptv3_base, ptv3_rpe, ptv3_small
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.ptv3_rotary import Rotary, RotaryPosition
from pcseg.errors import UserError
from pcseg.nn import tokens
from pcseg.nn.levels import Level
from pcseg.nn.norms import DropPath

VARIANTS = ["ptv3", "sonata", "utonia"]


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("variant", VARIANTS)
def test_levels(variant: str) -> None:
    backbone, batch = tiny(variant), batch_of(cloud(150), cloud(1, 1), cloud(90, 2))
    levels = backbone(batch)
    assert [level.x.shape[1] for level in levels] == backbone.out_channels
    assert [level.stride for level in levels] == [1, 2, 4]
    assert torch.equal(levels[0].voxels.grid_pos, batch.grid_pos)
    assert levels[0].parent is None
    for fine, coarse in pairwise(levels):
        assert len(coarse.x) == len(coarse.voxels) < len(fine.voxels)
        expected = fine.voxels.grid_pos.div(2, rounding_mode="floor")
        assert torch.equal(coarse.voxels.grid_pos[coarse.parent], expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_clouds_do_not_see_each_other(variant: str) -> None:
    backbone, one = tiny(variant), cloud(70)
    far = cloud(60, 1)
    far.grid_pos = far.grid_pos * torch.tensor([1, 30, 1], dtype=torch.int32)  # its curves are deeper
    for company in (cloud(3, 2), far):
        together = backbone(batch_of(company, one))
        for alone, level in zip(backbone(batch_of(one)), together):
            same(level.x[level.voxels.batch == 1], alone.x)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_may_come_in_any_order(variant: str) -> None:
    backbone, one = tiny(variant), cloud(80)
    order = torch.randperm(80)
    shuffled = Data(x=one.x[order], pos=one.pos[order], grid_pos=one.grid_pos[order], num_nodes=80)
    same(backbone(batch_of(shuffled))[0].x, backbone(batch_of(one))[0].x[order])


def test_moving_by_coarsest_voxels_changes_nothing() -> None:
    backbone, one = tiny(), cloud(80)
    moved = Data(x=one.x, grid_pos=one.grid_pos + torch.tensor([8, -16, 4]), num_nodes=80)
    same(backbone(batch_of(moved))[0].x, backbone(batch_of(one))[0].x)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("sizes", [[0, 20], [20, 0, 1], [1], [0], [1, 1]])
@pytest.mark.parametrize("training", [False, True])
def test_tiny_clouds(variant: str, sizes: list[int], training: bool) -> None:
    backbone = tiny(variant).train(training)
    levels = backbone(batch_of(*(cloud(size, i) for i, size in enumerate(sizes))))
    assert levels[0].x.shape == (sum(sizes), backbone.out_channels[0])
    assert all(level.x.isfinite().all() for level in levels)
    torch.stack([level.x.sum() for level in levels]).sum().backward()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_has_a_gradient(variant: str) -> None:
    backbone = tiny(variant, relative_position=True, mask_token=True, drop_path=0.2).train()
    batch = batch_of(cloud(150), cloud(120, 1))
    levels = backbone(batch, mask=torch.rand(270) < 0.3)
    torch.stack([(level.x * torch.randn_like(level.x)).sum() for level in levels]).sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"relative_position": True}])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_by_finite_differences(variant: str, options: dict) -> None:
    backbone, one = tiny(variant, **options), cloud(30, edge=4)

    def features(x: Tensor) -> Tensor:
        levels = backbone(batch_of(Data(x=x, pos=one.pos, grid_pos=one.grid_pos, num_nodes=30)))
        return torch.cat([level.x.flatten() for level in levels])

    assert torch.autograd.gradcheck(features, one.x.requires_grad_(), fast_mode=True, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"relative_position": True}])
@pytest.mark.parametrize("variant", VARIANTS)
def test_blocks_of_rows_give_the_same(variant: str, options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, rows and patches are processed in blocks, with and without gradients."""
    backbone, batch = tiny(variant, **options), batch_of(cloud(61), cloud(0, 1), cloud(5, 2))

    def gradients(levels: list[Level]) -> list[Tensor]:
        total = torch.stack([level.x.cos().sum() for level in levels]).sum()
        return list(torch.autograd.grad(total, list(backbone.parameters())))

    at_once = backbone(batch)
    expected = gradients(at_once)
    monkeypatch.setattr(tokens, "BLOCK_ROWS", 7)
    monkeypatch.setattr(ptv3_blocks, "RUN_ROWS", 16)
    in_blocks = backbone(batch)
    with torch.no_grad():
        for levels in (in_blocks, backbone(batch)):
            for found, level in zip(levels, at_once):
                same(found.x, level.x)
    for found, gradient in zip(gradients(in_blocks), expected):
        same(found, gradient)


def test_curves_are_shuffled_only_in_training() -> None:
    backbone, batch = tiny(), batch_of(cloud(150))

    def run(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return backbone(batch)[0].x

    assert torch.equal(run(0), run(1))
    backbone.train()
    assert torch.equal(run(0), run(0)), "the step's seed decides"
    assert any(not torch.equal(run(0), run(seed)) for seed in range(1, 5))


def test_drop_path_keeps_the_mean() -> None:
    drop = DropPath(0.25).train()
    out = drop(torch.ones(40_000, 2))
    assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert torch.equal(out[:, 0], out[:, 1]), "a row is dropped as a whole"
    assert abs(out.mean().item() - 1) < 0.02


@pytest.mark.parametrize("variant", ["ptv3", "utonia"])
def test_recomputed_blocks_give_the_same_and_keep_less(variant: str) -> None:
    """Also with branches that are dropped at random."""
    gradients, kept = [], []
    for recompute in (False, True):
        torch.manual_seed(0)
        network = tiny(variant, drop_path=0.4, recompute=recompute).train()
        batch, total = batch_of(cloud(80), cloud(60, 1)), 0

        def keep(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = torch.stack([level.x.sin().sum() for level in network(batch)]).sum()
        loss.backward()
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
        kept.append(total)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(
            gradients[1][name], gradient, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert kept[1] < kept[0] / 3


def test_mask_token_hides_the_input() -> None:
    backbone, one = tiny("sonata", mask_token=True), cloud(60)
    other = Data(x=one.x.clone(), grid_pos=one.grid_pos, num_nodes=60)
    mask = torch.rand(60) < 0.5
    other.x[mask] += 1
    same(backbone(batch_of(one), mask=mask)[0].x, backbone(batch_of(other), mask=mask)[0].x)
    with pytest.raises(UserError, match="mask_token: true"):
        tiny("sonata")(batch_of(one), mask=mask)


def rotated(seed: int = 0, move: float = 0.0, factor: float = 1.0, **options: float) -> Tensor:
    """Return the features of a network whose rotary embeddings alone are in training mode."""
    torch.manual_seed(5)
    backbone, one = tiny("utonia", rotary=Rotary(**options)), cloud(60)
    for module in backbone.modules():
        if isinstance(module, RotaryPosition):
            module.train()
    one.pos = one.pos * factor + move
    torch.manual_seed(seed)
    return backbone(batch_of(one))[0].x


def test_rotary_embeddings_see_differences_of_coordinates() -> None:
    same(rotated(), rotated(move=3.7))
    same(rotated(), rotated(seed=1, shift=2.0))
    same(rotated(scale=2.0), rotated(factor=2.0))
    assert not torch.allclose(rotated(), rotated(factor=2.0))


@pytest.mark.parametrize("option", ["jitter", "rescale"])
def test_rotary_coordinates_vary_in_training_by_its_seed(option: str) -> None:
    assert torch.equal(rotated(**{option: 1.5}), rotated(**{option: 1.5}))
    assert not torch.allclose(rotated(**{option: 1.5}), rotated(seed=1, **{option: 1.5}))


def test_rotary_embeddings_of_the_encoder_alone() -> None:
    backbone = tiny("utonia", rotary=Rotary(decoder=False), dec_heads=(4, 6))  # 3 and 2 channels per head
    names = [name for name in backbone.state_dict() if name.endswith("inv_freq")]
    assert len(names) == 4
    assert not any(name.startswith("dec.") for name in names)
    with pytest.raises(
        UserError, match=r"dec_heads: 4 heads of a width of 12 have 3 channels each.*multiple of 6"
    ):
        tiny("utonia", dec_heads=(4, 6))


def test_encoder_alone_and_strides_of_three() -> None:
    backbone = PTv3(
        3, variant="sonata", enc_channels=(8, 16), enc_depths=(1, 1), enc_heads=(1, 2),
        dec_channels=(), dec_depths=(), dec_heads=(), strides=(3,),
    )  # fmt: skip
    fine, coarse = backbone.double()(batch_of(cloud(90)))
    assert (fine.x.shape[1], coarse.x.shape[1], coarse.stride) == (8, 16, 3)
    assert torch.equal(
        coarse.voxels.grid_pos[coarse.parent], fine.voxels.grid_pos.div(3, rounding_mode="floor")
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"enc_depths": (1, 1)}, r"enc_depths: has 2 values\. Give 3"),
        ({"curves": ("z", "spiral")}, "curves"),
        ({"patch_size": 0}, "patch_size"),
    ],
)
def test_refuses_invalid_values(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny(**options)
    with pytest.raises(UserError, match="powers of two"):
        PTv3(3, strides=(2, 3, 2, 2))
    with pytest.raises(UserError, match="scale: 0 is out of range"):
        Utonia(9, scale=0)
    with pytest.raises(UserError, match="3 heads do not divide"):
        PTv3(3, enc_heads=(3, 4, 8, 16, 32))


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (lambda: ptv3_base(6), 46_166_272),
        (lambda: ptv3_rpe(6), 46_189_708),
        (lambda: Sonata(9), 108_461_376 - 48),
        (lambda: Sonata(9, size="small"), 38_648_960),
        (lambda: Sonata(9, size="large"), 207_667_392),
        (lambda: Utonia(9), 137_253_744 - 54),
        (lambda: Utonia(9, decoder=True), 157_734_054),
    ],
    ids=["ptv3_base", "ptv3_rpe", "sonata_base", "sonata_small", "sonata_large", "utonia", "utonia_decoder"],
)
def test_published_sizes(build: Callable[[], PTv3], parameters: int) -> None:
    with torch.device("meta"):
        network = build()
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_small_preset_trains() -> None:
    backbone, batch = ptv3_small(3).double().train(), batch_of(cloud(150), cloud(100, 1))
    assert 1.7e6 < sum(parameter.numel() for parameter in backbone.parameters()) < 1.9e6
    levels = backbone(batch)
    assert [level.x.shape[1] for level in levels] == backbone.out_channels
    torch.stack([level.x.square().mean() for level in levels]).sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("variant", VARIANTS)
def test_gpu_computes_the_same(variant: str) -> None:
    backbone, batch = tiny(variant), batch_of(cloud(150), cloud(3, 1))
    expected = backbone(batch)[0].x
    same(backbone.to("cuda")(batch.to("cuda"))[0].x.cpu(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_half_precision_on_a_gpu_is_close() -> None:
    backbone, batch = tiny(patch_size=32).float().to("cuda"), batch_of(cloud(150), cloud(3, 1)).to("cuda")
    batch.x = batch.x.float()
    expected = backbone(batch)[0].x
    with torch.autocast("cuda", torch.bfloat16):
        found = backbone(batch)[0].x
    assert (found.float() - expected).abs().mean() < 0.05 * expected.std()


@pytest.mark.parametrize("variant", ["ptv3", "utonia"])
def test_bfloat16_is_close_to_float32(variant: str) -> None:
    backbone, batch = tiny(variant).float(), batch_of(cloud(150))
    batch.x = batch.x.float()
    expected = backbone(batch)[0].x
    with torch.autocast("cpu", torch.bfloat16):
        found = backbone(batch)[0].x
        with torch.no_grad():
            without_gradients = backbone(batch)[0].x
    for x in (found, without_gradients):
        assert (x.float() - expected).abs().mean() < 0.05 * expected.std()
