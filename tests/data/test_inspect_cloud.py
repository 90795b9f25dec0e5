"""What is understood of a cloud: facts that are checked against direct computations, and planted defects."""

from pathlib import Path

import laspy
import numpy as np
import pandas as pd
import pytest
from helpers.cloud_files import GOOD, needs_pye57, put, write_e57
from helpers.fakes import fake_room, write_fake_building
from scipy.spatial import KDTree

from pcseg.data.inspect_cloud import CloudReport, count_duplicates, inspect_file
from pcseg.data.io.ply import write_ply
from pcseg.data.surfaces import measure_spacing
from pcseg.errors import UserError

ROOM = fake_room(1, num_points=6000)


def inspect(path: Path, **columns: np.ndarray) -> CloudReport:
    """Write a PLY file with the given columns instead of those of a sound room, and inspect it."""
    pos, color = columns.pop("pos", ROOM["pos"]), columns.pop("color", ROOM["color"])
    table = dict(zip("xyz", pos.T)) | dict(zip(("red", "green", "blue"), color.T)) | columns
    write_ply(path / "a.ply", {name: np.ascontiguousarray(column) for name, column in table.items()})
    return inspect_file(path / "a.ply")


def test_a_sound_room(tmp_path: Path) -> None:
    report = inspect(
        tmp_path, scalar_label=ROOM["label"].astype(np.float32), intensity=np.linspace(0, 9, 6000)
    )
    facts = dict(report.facts)
    assert report.warnings == []
    assert (facts["format"], facts["points"], facts["duplicates"], facts["normals"]) == (
        "PLY",
        "6,000",
        "0",
        "no",
    )
    assert facts["colors"] == f"{ROOM['color'].min()}..{ROOM['color'].max()}"
    assert facts["units"].startswith("meters")
    assert facts["up"].startswith("z")
    extent = np.ptp(np.percentile(ROOM["pos"], (1, 99), axis=0), axis=0)
    np.testing.assert_allclose(report.extent, extent, rtol=1e-5)
    values, counts = np.unique(ROOM["label"], return_counts=True)
    assert report.classes == {f"{v}": n for v, n in zip(values.tolist(), counts.tolist())}
    assert facts["labels"] == f"column 'label' with {len(values)} values"
    roles = {name: role for name, role, _ in report.columns}
    assert roles == {"x": "position", "y": "position", "z": "position", "red": "color", "green": "color",
                     "blue": "color", "label": "label", "intensity": "not used"}  # fmt: skip
    assert ("intensity", "not used", "float64, 0 to 9") in report.columns


def test_spacing_is_the_median_distance_of_all_points(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    plane = np.c_[rng.uniform(0, 4, (200_000, 2)), np.zeros(200_000)].astype(np.float32)
    exact = np.median(KDTree(plane).query(plane[:3000], k=2)[0][:, 1])
    assert measure_spacing(plane) == pytest.approx(exact, rel=0.3)
    grid = np.stack(np.meshgrid(*[np.arange(60) * 0.05] * 3), axis=-1).reshape(-1, 3)
    assert measure_spacing(grid) == pytest.approx(0.05)
    assert measure_spacing(np.repeat(grid, 2, axis=0)) == pytest.approx(0.05)
    assert measure_spacing(np.zeros((5, 3))) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_duplicates(dtype: type) -> None:
    pos = np.random.default_rng(0).integers(0, 9, (3000, 3)).astype(dtype)
    assert count_duplicates(pos) == 3000 - len(np.unique(pos, axis=0))
    assert count_duplicates(pos[:0]) == 0


def planted() -> dict[str, tuple[dict[str, np.ndarray], str]]:
    pos, color, label = ROOM["pos"], ROOM["color"], ROOM["label"].astype(np.uint8)
    holes, twice, outlier = pos.copy(), pos.copy(), pos.copy()
    holes[:7], twice[:5], outlier[:2] = np.nan, twice[5], 500
    palette = np.random.default_rng(0).integers(0, 256, (14, 3)).astype(np.uint8)
    rare = label.astype(np.float32)
    rare[:10] = np.nan
    return {
        "NaN": ({"pos": holes}, "7 points have NaN or infinite coordinates"),
        "duplicates": ({"pos": twice}, "5 points (0.1%) are duplicates"),
        "outliers": ({"pos": outlier}, "2 points are far from all others"),
        "float32": ({"pos": (pos + np.array([5e5, 5e6, 100])).astype(np.float32)}, "steps of 0.5 m"),
        "coarse": (
            {"pos": (pos[:1500] * [9, 9, 1]).astype(np.float32), "color": color[:1500]},
            "models see voxels of 2 to 8 cm",
        ),
        "few": ({"pos": pos[:20], "color": color[:20]}, "only 20 points"),
        "none": ({"pos": pos[:0], "color": color[:0]}, "no points"),
        "black": ({"color": np.zeros_like(color)}, "all color values are 0"),
        "dark": ({"color": color // 8}, "the largest color value is 31 of 255"),
        "prediction": ({"color": palette[label], "label": label}, "every class has one color"),
        "zeros": (
            {"label": label * 0, "classification": label},
            "labels are those of 'classification', not of 'label'",
        ),
        "one class": ({"label": label * 0 + 3}, "all points have the label 3"),
        "unlabeled": ({"label": label * np.float32(np.nan)}, "all points are unlabeled"),
        "objects": (
            {"label": np.arange(6000, dtype=np.int32)},
            "6,000 different labels look like numbers of objects",
        ),
        "fractions": ({"label": label + np.float32(0.5)}, "labels have fractions"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", planted())
def test_planted_defects(kind: str, tmp_path: Path) -> None:
    columns, warning = planted()[kind]
    report = inspect(tmp_path, **columns)
    assert any(warning in text for text in report.warnings), report.warnings


def test_unlabeled_points_are_counted(tmp_path: Path) -> None:
    label = ROOM["label"].astype(np.float32)
    label[:11] = np.nan
    assert inspect(tmp_path, label=label).classes["unlabeled"] == 11


def test_a_prepared_scene(tmp_path: Path) -> None:
    root = write_fake_building(tmp_path, rooms={"Area_1": 1}, num_points=3000)
    report = inspect_file(root / "Area_1" / "office_1.h5")
    facts = dict(report.facts)
    assert facts["format"] == "prepared scene"
    assert {"floor", "wall", "table"} <= report.classes.keys()
    assert "sofa" in facts["no points of"]
    with pytest.raises(UserError, match="a prepared scene"):
        inspect_file(root / "Area_1" / "office_1.h5", units="mm")


def test_words_and_columns(tmp_path: Path) -> None:
    table = pd.DataFrame(ROOM["pos"], columns=["X", "Y", "Z"])
    table["class"] = np.where(ROOM["label"] == 1, "floor", "other")
    table.to_csv(tmp_path / "a.csv", index=False)
    assert inspect_file(tmp_path / "a.csv").classes.keys() == {"floor", "other"}
    np.savetxt(tmp_path / "b.xyz", np.c_[ROOM["pos"] * 1000, ROOM["label"]], fmt="%.3f")
    report = inspect_file(tmp_path / "b.xyz", columns="x,y,z,label", units="mm", up="z")
    assert dict(report.facts)["units"].startswith("millimeters")
    assert sum(report.classes.values()) == 6000


def test_las_with_a_column_of_zeros_beside_the_labels(tmp_path: Path) -> None:
    las = laspy.LasData(laspy.LasHeader(point_format=7, version="1.4"))
    las.header.scales = [0.001] * 3
    las.add_extra_dims([laspy.ExtraBytesParams(name="Label", type="float32")])
    las.x, las.y, las.z = ROOM["pos"].T
    las["Label"] = ROOM["label"]
    las.write(str(tmp_path / "a.las"))
    report = inspect_file(tmp_path / "a.las")
    assert "labels are those of 'label', not of 'classification'" in report.warnings
    assert sum(report.classes.values()) == 6000


@pytest.mark.parametrize("name", GOOD)
def test_every_format(name: str, tmp_path: Path) -> None:
    file, content, color, normal = GOOD[name]
    report = inspect_file(put(tmp_path / file, content))
    facts = dict(report.facts)
    assert facts["points"] == "20"
    assert [role for _, role, _ in report.columns].count("position") == 3
    assert (facts["colors"] != "none", facts["normals"] == "yes") == (color, normal)


@needs_pye57
def test_e57(tmp_path: Path) -> None:
    write_e57(tmp_path / "a.e57")
    facts = dict(inspect_file(tmp_path / "a.e57").facts)
    assert facts["points"] == "20"
    assert facts["units"].startswith("meters")
