"""Every point head keeps the contract, on the finest level and on a coarse one."""

from functools import partial
from typing import Any

import pytest
import torch
from helpers.grids import make_levels, random_scene
from helpers.head_contract import CHANNELS, NUM_CLASSES, PointHeadContract

from pcseg.errors import UserError
from pcseg.heads import Body, CACBody, CTBody, EncBody, FCNBody, PointHead, PointwiseBody, RCCABody, SlabBody
from pcseg.heads.points import token_rows, token_sizes
from pcseg.nn.class_centers import class_prob
from pcseg.nn.slab_context import SlabContext

WIDTHS = [CHANNELS] * 3


def make(body: type[Body], *, level: int = 2, **options: Any) -> PointHead:
    """A head; options that the adapter has are its own, others those of the body."""
    ours = {name: options.pop(name) for name in ADAPTER & options.keys()}
    return PointHead(WIDTHS, NUM_CLASSES, body=partial(body, **options), level=level, **ours)


ADAPTER = {"laterals", "auxiliary", "aux_level", "aux_weight", "fine"}


class TestFCN(PointHeadContract):
    def make(self) -> PointHead:
        return make(FCNBody, level=0, dropout=0.0)


class TestCTNet(PointHeadContract):
    def make(self) -> PointHead:
        return make(CTBody, level=0, width=12, key_width=6, auxiliary=PointwiseBody, aux_level=1)


class TestCTNetCoarse(PointHeadContract):
    def make(self) -> PointHead:
        return make(CTBody, level=1, width=12, key_width=6, class_batch_norm=True)


class TestCTNetEmbedding(PointHeadContract):
    def make(self) -> PointHead:
        return make(CTBody, level=2, width=12, key_width=6, class_features="embedding", heads=2)


class TestCTNetCenters(PointHeadContract):
    def make(self) -> PointHead:
        return make(CTBody, level=0, width=12, key_width=6, class_features="centers", heads=3)


class TestCTNetSlab(PointHeadContract):
    def make(self) -> PointHead:
        return make(CTBody, level=2, width=12, key_width=6, class_features="slab")


class TestEncNet(PointHeadContract):
    def make(self) -> PointHead:
        return make(
            EncBody, level=0, width=12, num_codewords=4, laterals=[1, 2], dropout=0.0,
            auxiliary=partial(FCNBody, dropout=0.0), aux_level=1,
        )  # fmt: skip


class TestEncNetCoarse(PointHeadContract):
    def make(self) -> PointHead:
        return make(EncBody, level=2, width=12, num_codewords=4, dropout=0.0)


class TestEncNetWeighted(PointHeadContract):
    def make(self) -> PointHead:
        return make(EncBody, level=1, width=12, num_codewords=4, weighted=True, dropout=0.0)


class TestEncNetCosine(PointHeadContract):
    def make(self) -> PointHead:
        return make(
            EncBody, level=2, width=12, num_codewords=4, assignment="cosine", restart=True, dropout=0.0
        )


class TestEncNetShared(PointHeadContract):
    def make(self) -> PointHead:
        return make(EncBody, level=2, width=12, num_codewords=4, assignment="shared", dropout=0.0)


class TestCCNetHeads(PointHeadContract):
    def make(self) -> PointHead:
        return make(RCCABody, level=1, width=48, heads=4, scaled=True, relative=True, dropout=0.0)


class TestSlab(PointHeadContract):
    def make(self) -> PointHead:
        return make(SlabBody, level=0, width=12, slab_width=6, dropout=0.0)


class TestSlabCoarse(PointHeadContract):
    def make(self) -> PointHead:
        return make(SlabBody, level=2, width=12, slab_width=6, heads=3, dropout=0.0, fine=7)


class TestSlabFeatures(PointHeadContract):
    def make(self) -> PointHead:
        return make(SlabBody, level=1, width=12, slab_width=6, content="features", heads=2, dropout=0.0)


class TestCAC(PointHeadContract):
    def make(self) -> PointHead:
        return make(CACBody, level=0, width=12, confidence=0.4, detach=False, dropout=0.0)


class TestCACCoarse(PointHeadContract):
    def make(self) -> PointHead:
        return make(CACBody, level=2, width=12, confidence=0.0, detach=False, dropout=0.0, fine=7)


class TestControlCoarse(PointHeadContract):
    def make(self) -> PointHead:
        return make(FCNBody, level=1, width=12, deep_weight=0.4, dropout=0.0, fine=7)


class TestCCNet(PointHeadContract):
    def make(self) -> PointHead:
        return make(
            RCCABody, level=0, width=16, recurrence=2, category_weight=1.0, dropout=0.0,
            auxiliary=partial(FCNBody, dropout=0.0), aux_level=1,
        )  # fmt: skip


class TestCCNetThick(PointHeadContract):
    def make(self) -> PointHead:
        return make(RCCABody, level=1, width=16, thickness=2, dropout=0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make(FCNBody, level=3), "levels 0 to 2"),
        (lambda: make(CTBody, level=0, aux_level=-1), "head.aux_level: -1"),
        (
            lambda: make(EncBody, level=1, laterals=[0]),
            r"laterals: 0 is out of range\. Choose levels that are not finer than 1",
        ),
        (
            lambda: make(CTBody, level=1, laterals=[2]),
            r"head\.laterals: CTBody fuses no other levels\. Leave",
        ),
        (lambda: make(EncBody, num_codewords=0), "num_codewords: 0"),
        (lambda: make(EncBody, reference_size=0), "reference_size: 0"),
        (lambda: make(RCCABody, recurrence=0), "recurrence: 0"),
        (lambda: make(RCCABody, width=4), "channels: 4 is out of range"),
        (lambda: make(RCCABody, thickness=0), "thickness: 0"),
        (lambda: make(RCCABody, heads=5), "heads: 5 is out of range"),
        (lambda: make(RCCABody, width=16, relative=True), "channels: 16 is out of range"),
        (lambda: make(EncBody, assignment="cos"), "assignment: unknown value 'cos'"),
        (lambda: make(RCCABody, axes=[0, 3]), r"axes: \[0, 3\]"),
        (lambda: make(EncBody, presence_weight=-0.1), r"presence_weight: -0\.1 is out of range"),
        (lambda: make(CTBody, class_weight=-1.0), r"class_weight: -1\.0 is out of range"),
        (lambda: make(FCNBody, aux_weight=-1.0), r"head\.aux_weight: -1\.0 is out of range"),
        (lambda: make(RCCABody, axes=[]), r"axes: \[\]"),
        (lambda: make(CTBody, class_features="center"), r"class_features: unknown value 'center'\. Choose"),
        (lambda: make(CTBody, class_features="embedding", true_classes=True), "an embedding has no shares"),
        (
            lambda: make(CTBody, class_features="centers", true_classes=True, deep_weight=0),
            "deep_weight: 0 is out of range",
        ),
        (lambda: make(CTBody, heads=3), r"heads: 3 is out of range\. Choose a positive divisor of 64"),
        (
            lambda: make(CTBody, heads=2, class_features="slab"),
            r"heads: 2, but tokens do not attend to slabs\. Leave",
        ),
        (lambda: make(CACBody, deep_weight=0), "deep_weight: 0"),
        (lambda: make(CACBody, teacher_weight=0), r"distill_weight: 1\.0 is .* Without a teacher choose 0"),
        (lambda: make(CACBody, confidence=2), "confidence: 2 is out of range"),
        (lambda: make(SlabBody, content="share"), "content: unknown value 'share'"),
        (lambda: make(SlabBody, heads=5), "heads: 5 is out of range"),
        (lambda: make(SlabBody, deep_weight=0, detach=True), r"deep_weight: 0 is .* Nothing else trains"),
        (lambda: make(SlabBody, deep_weight=0, true_classes=True), "deep_weight: 0"),
        (lambda: make(SlabBody, deep_weight=0, content="positions"), "deep_weight: 0"),
        (
            lambda: make(SlabBody, true_classes=True, content="features"),
            "slabs that hold features have no shares",
        ),
        (lambda: make(SlabBody, true_classes=True, content="share"), "content: unknown value 'share'"),
    ],
)
def test_bad_options_are_refused(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_weighted_tokens_count_their_voxels() -> None:
    levels, _ = make_levels([random_scene(60, CHANNELS), random_scene(40, CHANNELS, seed=1)])
    sizes = token_sizes(levels, 2)
    rows = levels[2].parent[levels[1].parent]
    assert torch.equal(sizes, torch.bincount(rows).double())
    head = make(EncBody, width=12, num_codewords=4, weighted=True, dropout=0.0).double().eval()
    here = levels[2]
    expected = head.body(here.x, here.voxels, weight=sizes).logits[rows] + head.detail(levels[0].x)
    torch.testing.assert_close(head(levels, None).logits, expected)
    assert not torch.allclose(
        head.body(here.x, here.voxels).logits[rows] + head.detail(levels[0].x), expected
    )


def test_truth_is_the_share_of_the_labels_of_a_voxel() -> None:
    levels, batch = make_levels([random_scene(60, CHANNELS), random_scene(40, CHANNELS, seed=1)])
    rows = token_rows(levels, 2)
    counts = torch.zeros(len(levels[2].x), NUM_CLASSES, dtype=torch.float64)
    for row, label in zip(rows.tolist(), batch.y.tolist()):
        if label >= 0:
            counts[row, label] += 1
    truth = (counts / counts.sum(1, keepdim=True).clamp(min=1)).float()
    head = make(SlabBody, true_classes=True, width=12, slab_width=8, dropout=0.0).double().eval()
    here = levels[2]
    expected = head.body(here.x, here.voxels, truth=truth).logits[rows] + head.detail(levels[0].x)
    torch.testing.assert_close(head(levels, batch).logits, expected)
    batch.y = torch.full_like(batch.y, -1)  # without labels the probabilities remain
    expected = head.body(here.x, here.voxels).logits[rows] + head.detail(levels[0].x)
    torch.testing.assert_close(head(levels, batch).logits, expected)
    head.body.needs_truth = False  # as a study switches it
    torch.testing.assert_close(head(levels, None).logits, expected)


def test_class_features_of_true_classes() -> None:
    """Shares and centers of labeled tokens; a cloud without labels keeps what is predicted."""
    levels, _ = make_levels([random_scene(60, CHANNELS), random_scene(40, CHANNELS, seed=1)])
    here = levels[1]
    first = int(here.voxels.ptr[1])
    label = torch.arange(first) % 3  # classes 3 and 4 do not occur
    truth = torch.zeros(len(here.x), NUM_CLASSES).index_put((torch.arange(first), label), torch.ones(()))

    def features(class_features: str) -> tuple[Body, torch.Tensor, torch.Tensor]:
        body = make(CTBody, width=12, key_width=6, class_features=class_features).double().eval().body
        outputs = [body(here.x, here.voxels, truth=t).clouds["class_features"] for t in (truth, None)]
        return body, outputs[0], outputs[1]

    _, found, predicted = features("rank_one")
    shares = torch.bincount(label, minlength=NUM_CLASSES) / first
    torch.testing.assert_close(found[0], shares[:, None] * predicted[0].sum(0))
    torch.testing.assert_close(found[1], predicted[1])
    body, found, predicted = features("centers")
    x = body.channel_context(body.reduce(here.x, here.voxels), here.voxels.ptr).x
    torch.testing.assert_close(found, body.centers(x, class_prob(body.region(x), truth), here.voxels.ptr))
    torch.testing.assert_close(found[1], predicted[1])
    assert not torch.allclose(found[0], predicted[0])


@pytest.mark.parametrize("class_features", ["rank_one", "centers"])
def test_true_classes_of_weighted_tokens(class_features: str) -> None:
    """Shares and centers of voxels that count as often as they hold finer ones, token by token."""
    levels, batch = make_levels([random_scene(60, CHANNELS), random_scene(40, CHANNELS, seed=1)])
    options = {"class_features": class_features, "true_classes": True, "weighted": True}
    head = make(CTBody, width=12, key_width=6, **options).double().eval()
    found, here, rows = head(levels, batch).aux["class_features"], levels[2], token_rows(levels, 2)
    x = head.body.channel_context(
        head.body.reduce(here.x, here.sites), here.sites.ptr, weight=bin_sizes(rows)
    )
    prob = class_prob(head.body.region(x.x)) if class_features == "centers" else torch.zeros(len(here.x), 5)
    for cloud in range(2):
        mass, center = torch.zeros(NUM_CLASSES).double(), torch.zeros(NUM_CLASSES, 12).double()
        for token in range(int(here.sites.ptr[cloud]), int(here.sites.ptr[cloud + 1])):
            labels = batch.y[rows == token]
            known = labels[labels >= 0]
            part = torch.bincount(known, minlength=NUM_CLASSES) / max(len(known), 1)
            part = len(labels) * (part if len(known) else prob[token]).double()
            mass, center = mass + part, center + part[:, None] * x.x[token]
        shares = mass / mass.sum()
        if class_features == "rank_one":
            expected = shares[:, None] * x.class_features[cloud].sum(0)
        else:
            module = head.body.centers
            expected = module.normalize(center / (mass + 1)[:, None]) + module.embedding
            expected = expected + module.share(((shares + 1e-3).log() / 3)[:, None])
        torch.testing.assert_close(found[cloud], expected, rtol=1e-6, atol=1e-6)


def bin_sizes(rows: torch.Tensor) -> torch.Tensor:
    return torch.bincount(rows).double()


@pytest.mark.parametrize(("body", "options"), [(SlabBody, {}), (CTBody, {"class_features": "slab"})])
def test_slabs_are_as_large_as_the_voxels_in_them(body: type[Body], options: dict) -> None:
    """The ends of a cloud depend on the finest voxels, of which stray tokens hold few."""
    levels, batch = make_levels([random_scene(60, CHANNELS), random_scene(40, CHANNELS, seed=1)])
    head = make(body, width=12, **options).double()
    seen = []
    context = next(module for module in head.modules() if isinstance(module, SlabContext))
    context.register_forward_pre_hook(
        lambda module, args, given: seen.append(given["weight"]), with_kwargs=True
    )
    head(levels, batch)
    assert torch.equal(seen[0], bin_sizes(token_rows(levels, 2)))


def test_few_channels_leave_the_control_one() -> None:
    head = PointHead([3], NUM_CLASSES, body=FCNBody, level=0).double()
    levels, batch = make_levels([random_scene(20, 3)])
    assert head.body.width == 1
    assert head(levels, batch).logits.std(0).gt(0).all()


def test_losses_reach_a_weight_of_zero() -> None:
    head = make(EncBody, level=0, width=8, num_codewords=2, presence_weight=0).double()
    levels, batch = make_levels([random_scene(20, CHANNELS)])
    assert head.losses(head(levels, batch), batch) == {}


def test_head_losses_are_named_and_weighted() -> None:
    levels, batch = make_levels([random_scene(50, CHANNELS, seed=i) for i in range(2)])
    torch.manual_seed(0)
    heads = [
        make(CTBody, level=0, class_weight=w, auxiliary=PointwiseBody, aux_level=1, aux_weight=2 * w).double()
        for w in (1.0, 0.5)
    ]
    heads[1].load_state_dict(heads[0].state_dict())
    full, half = (head.losses(head(levels, batch), batch) for head in heads)
    assert full.keys() == {"class_frequency", "aux"}
    for name, loss in full.items():
        torch.testing.assert_close(half[name], loss / 2)
