"""The study why_context: passes are those of prediction, numbers are of their definitions, the page is whole."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import write_fake_building
from studies.passes import prepare_room, read_rooms
from studies.why_context import why_context
from studies.why_numbers import Truth, grid_ceiling, presence_numbers, share_numbers, shares_elsewhere, shift
from studies.why_objects import agreement, gather_objects, kinds_table
from studies.why_rooms import KINDS, what_things_are

from data_prep.building.plan import plan_area
from data_prep.building.room_types import build_room
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


def test_a_finer_grid_has_a_higher_ceiling(building: Path) -> None:
    sample = load_sample(read_scene(building / "data" / "Area_5" / "office_1.h5"), name="a")
    truth = Truth(room=prepare_room(sample, grid_size=GRID, features=["color"]), names=S3DIS.names)
    fine, coarse = (grid_ceiling([truth], edge).mean_iou() for edge in (0.01, 1.0))
    assert fine > 0.99
    assert coarse < fine


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
    with pytest.raises(UserError, match=r"rooms.json: no such file"):
        what_things_are(tmp_path, tmp_path, [entry])
    (tmp_path / "rooms.json").write_text(json.dumps({"seed": seed, "layout": "aligned", "yaw": None}))
    made = what_things_are(tmp_path, tmp_path, [entry])
    expected = [number for number, label in enumerate(model.labels) if label in KINDS]
    assert sorted(number for _, number in made) == expected
    for (_, number), what in made.items():
        textures = {
            model.materials[surface].texture.__name__
            for surface in np.flatnonzero(model.surface_instance == number)
        }
        assert what.kind in {KINDS[model.labels[number]].get(texture) for texture in textures}
    (tmp_path / "rooms.json").write_text(json.dumps({"seed": seed, "layout": "nonaligned", "yaw": None}))
    with pytest.raises(UserError, match="these rooms are turned"):
        what_things_are(tmp_path, tmp_path, [entry])
