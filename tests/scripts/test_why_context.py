"""The study why_context: passes are those of prediction, numbers are of their definitions, the page is whole."""

import json
import shutil
from collections import Counter, defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fakes import write_fake_building
from studies.heads import HEADS as STUDIED
from studies.passes import Findings, prepare_room, read_rooms
from studies.why_context import VARIANTS, why_context
from studies.why_numbers import (
    WIDTHS,
    Truth,
    error_numbers,
    grid_ceiling,
    matrix_of,
    oracle_scores,
    own_context,
    points_know,
    presence_numbers,
    scores,
    share_numbers,
    shares_elsewhere,
    shift,
    state_numbers,
)
from studies.why_objects import agreement, gather_objects, kinds_table
from studies.why_rooms import KINDS, what_things_are

from data_prep.building.plan import plan_area
from data_prep.building.room_types import build_room
from data_prep.rooms import GENERATOR, SETTINGS, Settings
from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.checkpoint import KEY, ModelCard, load_checkpoint
from pcseg.data.manifest import Manifest, describe_scene
from pcseg.data.sample import load_sample
from pcseg.data.scenes import read_scene, write_scene
from pcseg.errors import UserError
from pcseg.heads.encnet import PointEncHead
from pcseg.heads.fcn import PointFCNHead
from pcseg.inference import predict_scene
from pcseg.labels import S3DIS
from pcseg.segmentor import HeadFactory, Segmentor

ROOT = Path(__file__).resolve().parents[2]
UNET = {"channels": [4, 4], "layers": [1, 1], "base_channels": 4}
GRID, CROP = 0.2, 500
HEADS: dict[str, tuple[HeadFactory, str]] = {
    "fcn": (PointFCNHead, "pcseg.heads.fcn.PointFCNHead"),
    "encnet": (lambda widths, count: PointEncHead(widths, count, level=0), "pcseg.heads.encnet.PointEncHead"),
}


def write_run(runs: Path, root: Path, name: str, *, seed: int) -> None:
    """A run with an untrained model."""
    torch.manual_seed(seed)
    head, path = HEADS[name]
    model = Segmentor(lambda width: SparseUNet(width, **UNET), head, in_channels=4, schema=S3DIS)
    data = {"root": str(root), "test_splits": ["Area_5"], "max_voxels": CROP}
    config = {
        "data": {"class_path": "pcseg.data.loaders.RoomData", "init_args": data},
        "backbone": {"class_path": "pcseg.backbones.points.sparse_unet.SparseUNet", "init_args": UNET},
        "head": {"class_path": path, "init_args": {"level": 0}},
    }
    card = ModelCard(
        config=config, schema=S3DIS.to_json(), features=["color", "height"], grid_size=GRID, in_channels=4,
        manifest_hash=Manifest.read(root).hash, seed=seed,
    )  # fmt: skip
    folder = runs / name / f"seed_{seed}"
    folder.mkdir(parents=True)
    torch.save({"state_dict": model.state_dict(), KEY: card.as_dict()}, folder / "best.ckpt")


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("building")
    root = write_fake_building(folder / "data", rooms={"Area_1": 1, "Area_5": 2}, num_points=1500)
    for name in HEADS:
        for seed in range(2):
            write_run(folder / "runs", root, name, seed=seed)
    return folder


def test_passes_are_those_of_prediction(building: Path) -> None:
    model = load_checkpoint(building / "runs" / "encnet" / "seed_0" / "best.ckpt")
    sample = load_sample(read_scene(building / "data" / "Area_5" / "office_1.h5"), name="a")
    room = prepare_room(sample, grid_size=GRID, features=model.features, crop_voxels=CROP)
    found = read_rooms(model, [room])
    assert len(room.crops) > 1
    for number, prob in ((400_000, found.whole[0]), (CROP, found.crops[0])):
        expected = predict_scene(
            model.segmentor, sample, grid_size=GRID, features=model.features, fragments=1,
            points_per_pass=number, probabilities=True,
        )  # fmt: skip
        np.testing.assert_allclose(prob.numpy()[room.row], expected.probability, rtol=1e-4, atol=1e-6)
    assert len(found.crop_states[0]) == len(room.crops)
    # the mean gate of one room is its own
    assert torch.equal(found.without[0], found.whole[0].argmax(1))


@pytest.fixture
def truth(building: Path) -> Truth:
    """A room with a window for a table, in which every seventh point has no class."""
    sample = load_sample(read_scene(building / "data" / "Area_5" / "office_1.h5"), name="a")
    label = np.where(sample.label == S3DIS.names.index("table"), WINDOW, sample.label)
    label[::7] = -1
    room = prepare_room(replace(sample, label=label), grid_size=GRID, features=["color"])
    histogram = np.bincount(label[label >= 0], minlength=S3DIS.num_classes).tolist()
    return Truth(room=room, names=S3DIS.names, elsewhere=shares_elsewhere([histogram]))


WINDOW, WALL = (S3DIS.names.index(name) for name in ("window", "wall"))


def test_the_ceiling_of_a_grid_is_that_of_its_commonest_classes(truth: Truth) -> None:
    for edge in (0.01, 0.3, 1.0):
        held: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for pos, label in zip(truth.room.sample.pos.astype(float), truth.label.tolist()):
            held[tuple(np.floor(pos / edge).astype(int))].update([label] if label >= 0 else [])
        matrix = grid_ceiling([truth], edge)
        assert int(matrix.correct.sum()) == sum(max(each.values(), default=0) for each in held.values())
        assert int(matrix.labelled.sum()) == np.count_nonzero(truth.label >= 0)


def test_errors_are_those_of_the_labelled_points(truth: Truth) -> None:
    prob = torch.rand(truth.room.num_voxels, S3DIS.num_classes, generator=torch.Generator().manual_seed(0))
    label, pred = truth.label, prob.argmax(1).numpy()[truth.room.row]
    known = label >= 0
    wrong, own = known & (pred != label), label == WINDOW
    found = error_numbers([truth, truth], [prob, prob])
    assert found["wrong"] == pytest.approx(wrong.sum() / known.sum())
    assert found["confusion"][WALL][WINDOW] == 2 * np.count_nonzero((label == WALL) & (pred == WINDOW))
    for number, width in enumerate(WIDTHS):
        cells = np.floor(truth.room.sample.pos.astype(float) / width)
        near = np.array([
            (label[known & (np.abs(cells - cell).max(axis=1) <= 1)] != mine).any()
            for cell, mine in zip(cells, label)
        ])  # fmt: skip
        assert found["all_points_near_border"][number] == pytest.approx(near[known].mean())
        assert found["near_border"][number] == pytest.approx(near[wrong].mean())
        assert found["near_border_of_class"][number][WINDOW] == pytest.approx(near[wrong & own].mean())
    window = found["each_object"][0]
    assert (window["class"], window["points"]) == ("window", np.count_nonzero(own))
    assert window["right"] == pytest.approx((pred[own] == WINDOW).mean(), abs=1e-4)
    assert window["taken_for"] == S3DIS.names[np.bincount(pred[own]).argmax()]
    assert len(found["each_object"]) == 2


def test_scores_count_points_and_not_voxels(truth: Truth) -> None:
    prob = torch.rand(truth.room.num_voxels, S3DIS.num_classes, generator=torch.Generator().manual_seed(0))
    label, pred = truth.label, prob.argmax(1).numpy()[truth.room.row]
    both = np.count_nonzero((pred == WINDOW) & (label == WINDOW))
    either = np.count_nonzero((label >= 0) & ((pred == WINDOW) | (label == WINDOW)))
    found = oracle_scores([truth], [prob])
    assert found["nothing"] == scores(matrix_of([truth], [prob.argmax(1)]))
    assert found["nothing"]["class_iou"][WINDOW] == pytest.approx(100 * both / either)
    # absent classes are not predicted any more, and leave the mean
    assert found["presence"]["class_iou"][S3DIS.names.index("sofa")] is None
    assert found["nothing"]["class_iou"][S3DIS.names.index("sofa")] == 0


def test_points_know_what_most_voxels_are_called(truth: Truth) -> None:
    label = torch.from_numpy(truth.room.whole.batch.y.numpy()).clamp(min=0)
    right = torch.nn.functional.one_hot(label, S3DIS.num_classes).float()
    known = points_know([truth, truth], [right, torch.full_like(right, 1 / S3DIS.num_classes)])
    assert known["presence"] == {"right": 1, "constant": 1}, "both rooms hold the same classes"
    counts = np.bincount(truth.room.whole.batch.y[truth.room.whole.batch.y >= 0], minlength=S3DIS.num_classes)
    share, mean = counts / counts.sum(), right.double().mean(0).numpy()
    error = (np.abs(mean - share).mean() + np.abs(1 / S3DIS.num_classes - share).mean()) / 2
    assert known["share"]["error"] == pytest.approx(error, abs=1e-6)


def test_own_context_is_used_as_the_truth_would_be() -> None:
    prob = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.35, 0.05]])
    by_presence = own_context(Findings(whole=[prob], states=[{"presence": np.array([0.1, 0.9, 1.0])}]))
    assert by_presence is not None
    assert by_presence[0].tolist() == [1, 1]
    by_share = own_context(Findings(whole=[prob], states=[{"class_prob": np.array([0.5, 0.5, 0.0])}]))
    assert by_share is not None
    assert by_share[0].tolist() == [0, 1]
    assert own_context(Findings(whole=[prob], states=[{}])) is None


def test_states_are_means_over_rooms() -> None:
    of_attention = [
        {name: np.array([value, 2 * value]) for name in ("entropy", "largest", "seen", "added")}
        for value in (1.0, 3.0)
    ]
    assert state_numbers(Findings(states=of_attention))["seen"] == [2, 4]
    gates = [{"channel": np.array([0.0, 0.5])}, {"channel": np.array([0.2, 0.9])}]
    numbers = state_numbers(Findings(states=gates))
    assert numbers == pytest.approx({
        "channel_mean": 0.4, "channel_std_between_rooms": 0.15, "channel_std_over_channels": 0.3,
    })  # fmt: skip
    assert state_numbers(Findings(states=[{}])) == {}


def test_objects_are_listed_once_and_by_what_they_are_made_of() -> None:
    def run(*rights: float) -> dict:
        ones = [
            {"room": "a", "instance": number, "class": "window", "points": 99, "right": right, "contrast": 7.0,
             "taken_for": "window" if right > 0.5 else "board"}
            for number, right in enumerate(rights)
        ]  # fmt: skip
        return {"errors": {"each_object": ones[:2]}, "seen_errors": {"each_object": ones[2:]}}

    runs = {"fcn": [run(0.9, 0.1, 1.0), run(1.0, 0.0, 0.9)]}
    objects = gather_objects(runs, {"a/0": "glass", "a/1": "slats", "a/2": "glass"})
    assert [one["right"] for one in objects] == [[0.9, 1.0], [0.1, 0.0], [1.0, 0.9]]
    assert runs["fcn"][0]["errors"] == {}
    assert agreement(objects)[-1] == "| window | 2 | 1 | 1 | 1 | 7 | 7 |"
    table = kinds_table(objects)
    assert table[-2] == "| window | glass | 1 | 95 |  | 1 | 95 |  |"
    assert table[-1] == "| window | slats | 1 | 5 | board 100 | 0 |  |  |"
    assert kinds_table(gather_objects({"fcn": [run(0.9, 0.1, 1.0)]}, {})) == []


def test_shares_elsewhere() -> None:
    average, typical = shares_elsewhere([[1, 1, 0], [3, 0, 1]])
    assert average.tolist() == [0.625, 0.25, 0.125]
    assert typical.tolist() == [0.625, 0.5, 0.25]


def test_numbers_of_clouds() -> None:
    rooms = np.array([[0.0, 0.0], [2.0, 0.0]])
    found = shift(rooms, np.array([[0.0, 1.0], [2.0, 1.0]]), rooms)
    assert found == pytest.approx({"shift": 0.5, "bias": 0.5})
    states = [
        {"presence": np.array([0.9, 0.8, 0.1]), "present": np.array([True, True, False])},
        {"presence": np.array([0.9, 0.7, 0.9]), "present": np.array([True, False, True])},
        {"presence": np.array([0.2, 0.2, 0.1]), "present": np.array([True, False, True])},
    ]
    assert presence_numbers(states) == pytest.approx({"right": 4 / 6, "constant": 2 / 3})
    shares = np.array([[0.5, 0.5], [0.9, 0.1]])
    assert share_numbers(shares, shares) == pytest.approx({"correlation": 1, "error": 0, "constant": 0.2})
    assert share_numbers(shares[:1].repeat(2, 0), shares)["correlation"] == pytest.approx(0)


def test_the_study_writes_its_page_once(building: Path, tmp_path: Path) -> None:
    options = {"data": building / "data", "runs": building / "runs", "out": tmp_path / "out", "seeds": 2}
    why_context(**options, report=tmp_path / "report", variants=["fcn", "encnet"])
    page = (tmp_path / "report" / "why_context.md").read_text()
    content = json.loads((tmp_path / "report" / "why_context.json").read_text())
    fcn, encnet = content["runs"]["fcn"][0], content["runs"]["encnet"][0]
    assert fcn["oracles"]["nothing"]["miou"] <= fcn["oracles"]["surfaces"]["miou"]
    assert fcn["without"] is None
    assert encnet["state"]["presence"]["right"] <= 1
    assert "| encnet | codewords |" in page
    assert "| fcn | codewords |" not in page
    assert all(line.count("|") > 2 for line in page.splitlines() if line.startswith("|"))
    before = (tmp_path / "out" / "fcn" / "seed_0.json").stat().st_mtime_ns
    why_context(**options, report=tmp_path / "again", variants=["fcn", "encnet"])
    assert (tmp_path / "again" / "why_context.md").read_text() == page
    assert (tmp_path / "out" / "fcn" / "seed_0.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"--seen_split Area_5: .* was not trained on it"):
        why_context(**options, report=tmp_path / "again", variants=["fcn"], seen_split="Area_5")
    shutil.copy(tmp_path / "out" / "fcn" / "seed_1.json", tmp_path / "out" / "fcn" / "seed_0.json")
    with pytest.raises(UserError, match=r"fcn/seed_0.json: numbers of another checkpoint"):
        why_context(**options, report=tmp_path / "again", variants=["fcn"])


def test_variants_differ_in_their_heads_alone() -> None:
    configs = {variant.name: yaml.safe_load((ROOT / variant.config).read_text()) for variant in STUDIED}
    others = [
        {key: value for key, value in configs[name].items() if key not in ("head", "out")}
        for name in VARIANTS
    ]
    assert all(other == others[0] for other in others)


def test_a_run_that_is_missing_is_named(building: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ctnet/seed_0/best.ckpt: no such run; train it"):
        why_context(data=building / "data", runs=building / "runs", out=tmp_path, variants=["ctnet"], seeds=1)


def test_things_are_found_where_they_were_built(tmp_path: Path) -> None:
    for seed in range(20):
        (plan,) = plan_area(seed, 1, 1)
        model = build_room(plan.build_seed, plan.room_type)
        if {"window", "board", "door"} <= set(model.labels):
            break
    corners, owner = model.vertices[model.triangles], model.surface_instance[model.triangle_surface]
    pos = (corners + np.array(plan.offset)).reshape(-1, 3)
    path = tmp_path / "Area_1" / f"{plan.name}.h5"
    write_scene(
        path, pos=pos.astype(np.float32), color=np.zeros(pos.shape, np.uint8),
        label=np.array([S3DIS.names.index(label) for label in model.labels])[owner].repeat(3).astype(np.int16),
        instance=owner.repeat(3).astype(np.int32), dataset="s3dis", scene=plan.name, schema=S3DIS,
    )  # fmt: skip
    entry = describe_scene(read_scene(path), folder=tmp_path, source="")
    with pytest.raises(UserError, match=r"rooms.json: not there"):
        what_things_are(tmp_path, tmp_path, [entry])
    settings = asdict(Settings(seed=seed, points=1000, layout="aligned", yaw=None, damage=False))
    (tmp_path / SETTINGS).write_text(json.dumps(settings))
    made = what_things_are(tmp_path, tmp_path, [entry])
    expected = [number for number, label in enumerate(model.labels) if label in KINDS]
    assert sorted(number for _, number in made) == expected
    for (_, number), what in made.items():
        textures = {
            model.materials[surface].texture.__name__
            for surface in np.flatnonzero(model.surface_instance == number)
        }
        assert what.kind in {KINDS[model.labels[number]].get(texture) for texture in textures}
    for other, message in (
        ({"layout": "nonaligned"}, "these rooms are turned"),
        ({"generator": GENERATOR - 1}, f"rooms of generator {GENERATOR - 1}"),
    ):
        (tmp_path / SETTINGS).write_text(json.dumps(settings | other))
        with pytest.raises(UserError, match=message):
            what_things_are(tmp_path, tmp_path, [entry])
