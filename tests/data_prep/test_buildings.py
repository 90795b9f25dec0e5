"""Generated scans: deterministic, within the taxonomy, without what is held out, readable by the preparation."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("open3d")

from data_prep import buildings
from data_prep.folder import prepare
from data_prep.indoor.alterations import ALTERATIONS, alter
from data_prep.indoor.building import Choice, build
from data_prep.indoor.families import FAMILIES
from data_prep.indoor.returns import Scene
from data_prep.synthetic.room_types import ROOM_TYPES, build_room
from data_prep.synthetic.scanner import Scan
from pcseg.data.indoor import INDOOR, LABEL_SETS
from pcseg.data.io.clouds import read_cloud, read_table
from pcseg.data.scenes import read_scene
from pcseg.errors import UserError

POINTS = 4000


def digests(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.rglob("*.ply"))}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("buildings") / "raw"
    buildings.generate(out, train=3, val=1, test=0, seed=5, points=POINTS, workers=1)
    return out


@pytest.mark.slow
def test_same_seed_same_bytes_and_more_scans_keep_earlier_ones(folder: Path, tmp_path: Path) -> None:
    buildings.generate(tmp_path / "raw", train=2, val=1, test=0, seed=5, points=POINTS, workers=1)
    again, first = digests(tmp_path / "raw"), digests(folder)
    assert len(again) == 3
    assert again.items() <= first.items()
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.ply")}
    buildings.generate(folder, train=3, val=1, test=0, seed=5, points=POINTS, workers=1)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.ply")} == before


@pytest.mark.slow
def test_labels_are_in_range_in_every_set(folder: Path) -> None:
    for file in folder.rglob("*.ply"):
        columns = read_table(file).columns
        assert len(columns["x"]) > 200
        for name, schema in LABEL_SETS.items():
            assert columns[name].min() >= -1
            assert columns[name].max() < schema.num_classes
        assert np.isfinite(read_cloud(file).pos).all()


@pytest.mark.parametrize("name", ["indoor", "coarse"])
def test_the_preparation_reads_it(folder: Path, tmp_path: Path, name: str) -> None:
    prepare(folder / f"{name}.yaml", tmp_path / "data", workers=1)  # the folder has no test split
    found = [read_scene(file).label for file in (tmp_path / "data").rglob("*.h5")]
    raw = [read_table(file).columns[name] for file in folder.rglob("*.ply")]
    sizes = [sorted(np.bincount(label + 1).tolist() for label in labels) for labels in (found, raw)]
    assert sizes[0] == sizes[1]


def test_held_out_names_are_absent_and_only_restricts() -> None:
    names = buildings.choose(["phone", "kitchen", "dark", "wooden", "tilted"], ["office", "kitchen"])
    assert names["rooms"] == ("office",)
    assert not {"phone", "dark", "wooden", "tilted"} & {name for group in names.values() for name in group}
    plans = [buildings.plan_scan(1, "train", k, names) for k in range(60)]
    assert {plan.sensor for plan in plans} == set(names["sensors"])
    assert not any("tilted" in plan.alterations for plan in plans)
    scene = build(
        3, Choice(rooms=("office",), furniture=names["furniture"], materials=names["materials"]), rooms=3
    )
    assert not {"refrigerator", "toilet", "bed"} & set(scene.model.labels)


def test_names_of_all_groups_differ() -> None:
    names = [name for group in buildings.GROUPS.values() for name in group]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("hold_out", "only", "message"),
    [(["sauna"], [], "--hold_out: unknown name 'sauna'"), ([], ["sauna"], "--only: unknown name"),
     (list(FAMILIES), [], "leaves no rooms"), (["phone"], ["phone"], "leaves no sensors")],
)  # fmt: skip
def test_bad_names_are_one_line(hold_out: list[str], only: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        buildings.choose(hold_out, only)
    assert "\n" not in str(error.value)


def test_other_settings_need_another_folder(folder: Path) -> None:
    with pytest.raises(UserError, match="other settings"):
        buildings.generate(folder, train=1, seed=6, points=POINTS, workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_its_furniture_within_its_walls(name: str) -> None:
    seen: set[str] = set()
    for seed in range(4):
        scene = build(seed, Choice(rooms=(name,)))
        assert set(scene.model.labels) <= set(INDOOR.names)
        assert len(scene.spots[0]) > 0
        seen |= set(scene.model.labels)
        corners = scene.model.vertices[scene.model.triangles].reshape(-1, 3)
        labels = np.array(scene.model.labels)[
            scene.model.surface_instance[scene.model.triangle_surface]
        ].repeat(3)
        chosen = ~np.isin(labels, ["wall", "floor", "door", "window", "blinds"])
        room = corners[labels == "floor"]
        assert (corners[chosen].min(axis=0) > room.min(axis=0) - 0.15).all()
        assert (corners[chosen].max(axis=0)[:2] < room.max(axis=0)[:2] + 0.15).all()
    expected = {"office": "desk", "meeting_room": "table", "classroom": "board", "bedroom": "bed",
                "living_room": "sofa", "kitchen": "kitchen cabinet", "bathroom": "toilet", "workshop": "machine",
                "shop": "bookshelf", "corridor": "door", "storage": "bookshelf", "stairs": "stairs"}  # fmt: skip
    assert expected[name] in seen


def test_rooms_see_each_other_through_open_doors_and_storeys_are_stacked() -> None:
    scene = build(4, Choice(), rooms=3, storeys=2)
    floors = {round(float(spots[0, 2]), 2) for spots in scene.spots}
    assert len(floors) == 2
    assert {"stairs", "railing"} <= set(scene.model.labels)
    chain = build(8, Choice(rooms=("office", "kitchen")), rooms=2)
    left, right = (spots[0] + np.array([0, 0, 1.2]) for spots in chain.spots)
    edge = chain.spots[0][:, 0].max()
    rng = np.random.default_rng(0)
    rays = rng.normal(size=(4000, 3)).astype(np.float32)
    hits = chain.model.cast(left, rays, threads=1)
    reached = left[0] + hits.distance * rays[:, 0]
    assert (np.isfinite(hits.distance) & (reached > edge + 1.0)).any()
    assert right[0] > edge


def cube() -> Scan:
    pos = np.random.default_rng(0).uniform([0, 0, 0], [5, 4, 2.5], (20000, 3))
    return Scan(pos, np.zeros(pos.shape, np.uint8), np.zeros(len(pos), np.int32))


def test_alterations_do_what_they_are_named_after() -> None:
    scene = build(0, Choice(rooms=("office",)))
    scene = Scene(scene.model, scene.spots, [2.5])
    yaws = []
    for seed in range(12):
        plain, tilted, low = (
            alter(cube(), scene, names, np.random.default_rng(seed))
            for names in ((), ("tilted",), ("no_ceiling",))
        )
        assert plain.color is not None
        offset = plain.pos - cube().pos
        yaws.append(
            np.arctan2(*(plain.pos[1] - plain.pos[0])[1::-1])
            - np.arctan2(*(cube().pos[1] - cube().pos[0])[1::-1])
        )
        assert np.ptp(offset[:, 2]) < 1e-9
        first, second = (
            np.linalg.lstsq(cube().pos - cube().pos.mean(0), c.pos - c.pos.mean(0))[0]
            for c in (plain, tilted)
        )
        assert np.allclose(first.T @ first, np.eye(3), atol=1e-9)
        assert np.degrees(np.arccos(np.clip(second[2, 2], -1, 1))) <= 5 + 1e-6
        assert np.ptp(low.pos[:, 2]) < 2.5
    assert np.std(np.mod(yaws, 2 * np.pi)) > 0.8
    assert alter(cube(), scene, ("no_color",), np.random.default_rng(0)).color is None
    assert 1000 < len(alter(cube(), scene, ("partial",), np.random.default_rng(0)).pos) < 20000
    assert set(ALTERATIONS) == {"no_color", "no_ceiling", "partial", "tilted"}


@pytest.mark.slow
def test_the_rooms_of_the_other_generator_are_unchanged() -> None:
    """Studies rest on these rooms; sums tolerate the last digits, which differ between processors."""
    found = []
    for k, room_type in enumerate(ROOM_TYPES):
        model = build_room(k, room_type)
        weight = np.sin(np.arange(model.vertices.size)).reshape(model.vertices.shape)
        digest = hashlib.sha256(model.triangles.tobytes() + " ".join(model.labels).encode()).hexdigest()
        found.append((digest[:8], float((model.vertices * weight).sum())))
    assert [digest for digest, _ in found] == [digest for digest, _ in EXPECTED]
    np.testing.assert_allclose([value for _, value in found], [value for _, value in EXPECTED], atol=1e-3)


EXPECTED = [
    ("2f1d000c", -9.2872),
    ("dfb346c2", 9.3701),
    ("628fe05c", -2.5062),
    ("a52d47aa", 40.3912),
    ("2cb8afb8", 78.2529),
    ("ec0e8233", 2.2564),
    ("b0bbc8ca", 29.3011),
    ("281b28c6", -17.5976),
    ("a0d671e6", 33.1279),
    ("f2610975", 8.7278),
]
