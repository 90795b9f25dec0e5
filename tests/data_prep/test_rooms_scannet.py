"""Generated rooms in the layout of ScanNet: same bytes, meshes on the surfaces, and the whole way to a scene."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("open3d")

from data_prep.releases.scannet_mesh import read_mesh
from data_prep.rooms import generate, scan_name
from data_prep.scannet import prepare
from data_prep.synthetic.meshing import ScanMesh, mesh_sweeps, triangles
from data_prep.synthetic.model import RoomModel
from data_prep.synthetic.plan import plan_area
from data_prep.synthetic.room_types import build_room
from data_prep.synthetic.scanner import Sweep, scan_room, sweep_room
from data_prep.synthetic.scannet_raw import CATEGORIES
from pcseg.data.manifest import Manifest
from pcseg.data.scenes import read_scene
from pcseg.data.schemas import SCANNET20, SCANNET200
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX, S3DIS

POINTS = 5000


def small(out: Path, *, workers: int = 1, **options) -> Path:
    generate(
        out,
        workers=workers,
        **{"areas": 6, "rooms": 1, "points": POINTS, "layout": "scannet", "seed": 3} | options,
    )
    return out


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("building") / "raw")


@pytest.fixture(scope="module")
def model() -> RoomModel:
    return build_room(2, "office")


@pytest.fixture(scope="module")
def sweeps(model: RoomModel) -> list[Sweep]:
    return sweep_room(model, points=20_000, rng=np.random.default_rng(1))


@pytest.fixture(scope="module")
def mesh(sweeps: list[Sweep]) -> ScanMesh:
    return mesh_sweeps(sweeps)


@pytest.mark.slow
def test_files_of_a_release(building: Path) -> None:
    names = [f"scene0{area}00_00" for area in range(1, 7)]
    lists = {split: (building / f"scannetv2_{split}.txt").read_text() for split in ("train", "val", "test")}
    assert lists["train"].split() == names[:4]
    assert (lists["val"], lists["test"]) == (f"{names[4]}\n", f"{names[5]}\n")
    assert sorted(path.name for path in building.glob("scans/*")) == names[:5]
    suffixes = [
        ".aggregation.json",
        ".txt",
        "_vh_clean_2.0.010000.segs.json",
        "_vh_clean_2.labels.ply",
        "_vh_clean_2.ply",
    ]
    for name in names[:5]:
        assert sorted(path.name for path in (building / "scans" / name).iterdir()) == [
            name + s for s in suffixes
        ]
    assert sorted(path.name for path in (building / "scans_test" / names[5]).iterdir()) == [
        f"{names[5]}.txt", f"{names[5]}_vh_clean_2.ply"
    ]  # fmt: skip
    assert not list(building.rglob(".*"))
    fields = json.loads((building / "scans" / names[0] / f"{names[0]}.aggregation.json").read_text())
    assert {group["label"] for group in fields["segGroups"]} <= set(CATEGORIES.values())


@pytest.mark.slow
def test_same_bytes_for_any_number_of_workers_and_after_a_kill(building: Path, tmp_path: Path) -> None:
    out = shutil.copytree(building, tmp_path / "raw")
    first, second, third, *_ = sorted((out / "scans").iterdir())
    complete = first.stat().st_mtime_ns
    half = second.with_name(f".{second.name}.partial")
    half.mkdir()
    second.rename(half / second.name)
    shutil.rmtree(third)
    small(out, workers=2)
    assert hashes(out) == hashes(building)
    assert first.stat().st_mtime_ns == complete
    assert not list(out.rglob(".*"))


def test_more_areas_leave_scans_as_they_are_and_extend_the_lists(building: Path, tmp_path: Path) -> None:
    out = small(tmp_path / "raw", areas=1)
    assert (out / "scannetv2_val.txt").read_text() == ""
    small(out, areas=2)
    both = hashes(out)
    assert {name: code for name, code in both.items() if "scene0100" in name} == {
        name: code for name, code in hashes(building).items() if "scene0100" in name
    }
    assert (out / "scannetv2_train.txt").read_text() == "scene0100_00\nscene0200_00\n"


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    for options in ({"damage": True}, {"areas": 100}, {"rooms": 101}):
        with pytest.raises(UserError, match="at most 99 areas of 100 rooms and no --damage"):
            small(tmp_path, **options)


@pytest.mark.slow
def test_prepared_rooms_have_their_classes_by_name(building: Path, tmp_path: Path) -> None:
    prepare(building, tmp_path / "20", workers=1, align=True)
    prepare(building, tmp_path / "200", workers=1, classes=200)
    manifest = Manifest.read(tmp_path / "20")
    assert manifest.release == "generated rooms, ScanNet layout, axis-aligned"
    assert [entry.split for entry in manifest.scenes] == ["test", *["train"] * 4, "val"]
    for area in range(1, 6):
        (plan,) = plan_area(3, area, 1)
        model = build_room(plan.build_seed, plan.room_type)
        rng = np.random.default_rng(plan.scan_seed)
        mesh = mesh_sweeps(sweep_room(model, points=POINTS, rng=rng, threads=1))
        truth = np.array(model.labels)[mesh.instance]
        (path,) = (tmp_path / "20").glob(f"*/{scan_name(plan)}.h5")
        small, large = read_scene(path), read_scene(tmp_path / "200" / path.parent.name / path.name)
        np.testing.assert_allclose(small.pos, mesh.pos, atol=1e-4)  # aligned
        np.testing.assert_array_equal(small.color, mesh.color)
        annotated = small.instance >= 0
        assert 0.9 < annotated.mean() <= 1
        for scene, schema in ((small, SCANNET20), (large, SCANNET200)):
            known = scene.label != IGNORE_INDEX
            names = np.array(schema.names)[scene.label[known]]
            assert (np.char.replace(names, "couch", "sofa") == _benchmark_names(truth[known])).all()
            expected = np.isin(_benchmark_names(truth), [*schema.names, "sofa"])
            np.testing.assert_array_equal(known, annotated & expected)
        for instance in np.unique(small.instance[annotated]):
            assert len(np.unique(mesh.instance[small.instance == instance])) == 1


def _benchmark_names(truth: np.ndarray) -> np.ndarray:
    """Names of S3DIS as both benchmarks have them, but for ``couch``."""
    names = dict(CATEGORIES) | {"sofa": "sofa"}
    return np.array([names[label] for label in S3DIS.names])[[S3DIS.names.index(label) for label in truth]]


def test_vertices_lie_on_surfaces_and_have_their_instance(model: RoomModel, mesh: ScanMesh) -> None:
    import open3d as o3d

    nearest = model.scene.compute_closest_points(o3d.core.Tensor(mesh.pos.astype(np.float32)))
    away = np.linalg.norm(nearest["points"].numpy() - mesh.pos, axis=1)
    assert np.median(away) < 0.005
    surface = model.triangle_surface[nearest["primitive_ids"].numpy()]
    assert (model.surface_instance[surface] == mesh.instance).mean() > 0.95


def test_triangles_face_their_station_and_do_not_span_gaps(model: RoomModel, sweeps: list[Sweep]) -> None:
    for sweep in sweeps:
        faces = triangles(sweep)
        a, b, c = (sweep.pos[faces[:, corner]] for corner in range(3))
        normal = np.cross(b - a, c - a)
        towards = np.einsum("ij,ij->i", normal, sweep.station - a)
        assert (towards > 0).mean() > 0.99
        # flat rooms: most middles of triangles lie on a surface too
        import open3d as o3d

        middle = o3d.core.Tensor(((a + b + c) / 3).astype(np.float32))
        assert (model.scene.compute_distance(middle).numpy() < 0.05).mean() > 0.9


def test_triangles_are_proper_and_use_every_vertex(mesh: ScanMesh) -> None:
    ordered = np.sort(mesh.faces, axis=1)
    assert (ordered[:, :-1] < ordered[:, 1:]).all()
    assert len(np.unique(ordered, axis=0)) == len(ordered)
    np.testing.assert_array_equal(np.unique(ordered), np.arange(len(mesh.pos)))
    assert len(mesh.pos) == len(mesh.color) == len(mesh.instance)


def test_near_vertices_of_one_object_become_one(sweeps: list[Sweep], mesh: ScanMesh) -> None:
    coarse = mesh_sweeps(sweeps, cell=0.2)
    assert len(coarse.pos) < len(mesh.pos) / 2
    cells = np.column_stack(
        [
            np.floor(np.concatenate([s.pos for s in sweeps]) / 0.2),
            np.concatenate([s.instance for s in sweeps]),
        ]
    )
    assert len(coarse.pos) <= len(np.unique(cells, axis=0))


def test_sweeps_are_what_the_scan_is_drawn_from(model: RoomModel, sweeps: list[Sweep]) -> None:
    scan = scan_room(model, points=20_000, seed=1)
    rows = {row.tobytes() for row in np.concatenate([sweep.pos for sweep in sweeps])}
    assert all(row.tobytes() in rows for row in scan.pos)
    for sweep in sweeps:
        assert (np.diff(sweep.ray) > 0).all()


def test_open3d_reads_the_meshes(building: Path) -> None:
    import open3d as o3d

    for path in sorted(building.glob("scans*/*/*_vh_clean_2*.ply"))[:4]:
        mesh = o3d.io.read_triangle_mesh(str(path))
        vertices, faces = read_mesh(path, name=path.name)
        np.testing.assert_array_equal(np.asarray(mesh.triangles), faces)
        np.testing.assert_array_equal(np.asarray(mesh.vertices)[:, 2], vertices["z"])
