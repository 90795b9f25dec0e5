"""Scores of labeled files of any format, against a loop over points; and their one-line errors."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import laspy
import numpy as np
import pytest
from helpers.checkpoints import write_checkpoint
from helpers.damage import clear
from pypcd4 import PointCloud

from pcseg.cli import main
from pcseg.data.indoor import COARSE, INDOOR, LABEL_SETS, from_indoor
from pcseg.data.io.ply import write_ply
from pcseg.data.predictions import SavedPrediction, read_prediction, write_prediction
from pcseg.errors import UserError
from pcseg.evaluation.class_maps import class_numbers, map_labels, read_label_map
from pcseg.evaluation.evaluate import evaluate
from pcseg.inference.predict import predict, predict_file
from pcseg.labels import S3DIS, LabelSchema

COUNT = 400
OWN = {2: "door", 7: "board", 9: "Wall", 40: None}
"""Labels of the files and their classes."""


def columns(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    pos = np.round(rng.random((COUNT, 3)) * 3, 3).astype(np.float32)
    color = rng.integers(0, 256, (COUNT, 3)).astype(np.uint8)
    label = rng.choice(list(OWN), COUNT).astype(np.int32)
    return dict(zip("xyz", pos.T)) | dict(zip(("red", "green", "blue"), color.T)) | {"label": label}


def write_las(path: Path) -> None:
    found = columns()
    las = laspy.create(point_format=2, file_version="1.4")
    las.header.scales = [0.001] * 3
    las.x, las.y, las.z = (found[axis] for axis in "xyz")
    las.add_extra_dim(laspy.ExtraBytesParams(name="label", type=np.int32))
    las.label = found["label"]
    las.write(str(path))


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, column in columns().items():
            file[name] = column


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.las": write_las,
    "a.laz": write_las,
    "a.ply": lambda path: write_ply(path, columns()),
    "a.pcd": lambda path: PointCloud.from_points(
        list(columns().values()), tuple(columns()), tuple(c.dtype.type for c in columns().values())
    ).save(path),
    "a.npz": lambda path: np.savez(path, **columns()),
    "a.h5": write_hdf5,
    "a.txt": lambda path: np.savetxt(
        path, np.column_stack(list(columns().values())), fmt="%.7g", header=" ".join(columns())
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("ckpt") / "a.ckpt")


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.yaml"
    path.write_text("".join(f"{label}: {name or '~'}\n" for label, name in OWN.items()))
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_files_of_every_format(name: str, tmp_path: Path, ckpt: Path, own: str) -> None:
    path, out = tmp_path / name, tmp_path / "predictions"
    WRITERS[name](path)
    predict_file(path, ckpt=ckpt, out=out, units="m", up="z", progress_bar=False)
    report = evaluate([path], prediction=out, labels=own, out=tmp_path / "out", progress_bar=False)
    saved = read_prediction(out / "a.npz")
    expected = np.zeros((13, 14), int)
    hits = []
    for label, predicted in zip(columns()["label"].tolist(), saved.label.tolist()):
        if OWN[label] is not None:
            expected[S3DIS.names.index(str(OWN[label]).lower()), predicted] += 1
            hits.append(S3DIS.names[predicted] == str(OWN[label]).lower())
    assert 20 < sum(hits) < expected.sum() < COUNT
    np.testing.assert_array_equal(report.matrix.counts.numpy(), expected)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["calibration"]["accuracy"] == pytest.approx(np.mean(hits))
    assert results["provenance"]["checkpoint"] == [saved.checkpoint]
    if name in ("a.laz", "a.ply", "a.pcd", "a.npz"):  # all that tiles leave
        (out / "a.npz").unlink()
        again = evaluate([path], prediction=out, labels=own, out=tmp_path / "out", progress_bar=False)
        np.testing.assert_array_equal(again.matrix.counts.numpy(), expected)
        assert again.calibration["error"] == pytest.approx(report.calibration["error"])


def test_a_model_predicts_in_the_label_set_of_the_scores(tmp_path: Path, own: str) -> None:
    """Probabilities are summed over the classes of the set, and labels may be classes of any detail."""
    ckpt = write_checkpoint(tmp_path / "indoor.ckpt", schema=INDOOR)
    path = tmp_path / "a.ply"
    write_ply(path, columns())
    args = ["evaluate", str(path), "--ckpt", str(ckpt), "--labels", own, "--classes", "coarse", "--out"]
    main([*args, str(tmp_path / "out"), "--progress_bar", "false"])
    found = json.loads((tmp_path / "out" / "results.json").read_text())["confusion"]
    predicted = predict(path, ckpt, classes="coarse", units="m", up="z").label
    expected = np.zeros((9, 10), int)
    group = {"door": "opening", "board": "other", "Wall": "wall"}
    for label, number in zip(columns()["label"].tolist(), predicted.tolist()):
        if OWN[label] is not None:
            expected[COARSE.names.index(group[str(OWN[label])]), number] += 1
    np.testing.assert_array_equal(found, expected)
    indoor = (
        tmp_path / "indoor"
    )  # the sum of probabilities is another decision than the class of the largest one
    predict_file(path, ckpt=ckpt, out=indoor, units="m", up="z", progress_bar=False)
    report = evaluate(
        [path], prediction=indoor, labels=own, classes="coarse", out=tmp_path / "o", progress_bar=False
    )
    label = from_indoor("coarse")[read_prediction(indoor / "a.npz").label]
    assert (
        report.matrix.predicted.tolist() == np.bincount(label[columns()["label"] != 40], minlength=9).tolist()
    )
    assert report.calibration is None, "confidences of indoor classes are not those of coarse ones"


def test_maps_of_labels(tmp_path: Path) -> None:
    source = tmp_path / "a.ply"
    for name, schema in LABEL_SETS.items():  # a name that is in both sets means the same
        both = [k for k in INDOOR.names if k in schema.names]
        expected = from_indoor(name)[[INDOOR.names.index(k) for k in both]]
        np.testing.assert_array_equal(class_numbers(both, schema, source="")[:-1], expected)
    words = np.array(["chair", "", "BED", "nan", "floor "])
    np.testing.assert_array_equal(map_labels(words, None, COARSE, source=source), [5, -1, 7, -1, 1])
    scannet = read_label_map("scannet")
    np.testing.assert_array_equal(
        map_labels(np.array([0.0, 19.0, np.nan, -1.0]), scannet, LABEL_SETS["scannet20"], source=source),
        [0, 19, -1, -1],
    )
    spec = tmp_path / "spec.yaml"
    spec.write_text("root: x\nnames: [floor, wall]\nignore: 255\nfields: {label: Scalar_Annotation}\n")
    given = read_label_map(str(spec))
    assert given.column == "annotation"
    np.testing.assert_array_equal(map_labels(np.array([1, 255, 0]), given, S3DIS, source=source), [2, -1, 1])
    same = LabelSchema(name="own", names=("Wall", "wall"), colors=((1, 2, 3),) * 2)
    assert class_numbers(["wall", "Wall"], same, source="").tolist() == [1, 0, -1]


def spoiled(tmp_path: Path, ckpt: Path, own: str) -> dict[str, tuple[dict, str]]:
    """Arguments of calls that fail, and what their messages name."""
    path, out, other = tmp_path / "a.ply", tmp_path / "predictions", tmp_path / "other"
    write_ply(path, columns())
    write_ply(tmp_path / "b.ply", columns(1))
    write_ply(tmp_path / "bare.ply", {name: column for name, column in columns().items() if name != "label"})
    predict_file([path, tmp_path / "bare.ply"], ckpt=ckpt, out=out, units="m", up="z", progress_bar=False)
    short = SavedPrediction(
        label=np.zeros(9, np.int16), confidence=np.ones(9), schema=S3DIS, source="a.ply", checkpoint="x"
    )
    other.mkdir()
    write_prediction(other / "a.npz", short)
    for name, text in (("gap", "2: floor\n7: chair\n"), ("wrong", "2: floor\n7: hcair\n9: wall\n40: ~\n"),
                       ("flat", "floor\n"), ("nested", "2: {a: b}\n")):  # fmt: skip
        (tmp_path / f"{name}.yaml").write_text(text)
    stored = {"prediction": out, "labels": own}
    return {
        "count": ({"files": [path], **stored, "prediction": other}, "other/a.npz: has 9 points"),
        "other file": ({"files": [tmp_path / "b.ply"], **stored, "prediction": out / "a.npz"}, "of a.ply, not of"),
        "no prediction": ({"files": [tmp_path / "b.ply"], **stored}, "contains no b.npz"),
        "no map": ({"files": [path], **stored, "labels": None}, "a.ply: its labels are numbers (2, 7, 9, 40)"),
        "no column": ({"files": [tmp_path / "bare.ply"], **stored}, "bare.ply: no column of labels"),
        "gap": ({"files": [path], **stored, "labels": str(tmp_path / "gap.yaml")}, "a.ply: label 9 ("),
        "class": ({"files": [path], **stored, "labels": str(tmp_path / "wrong.yaml")}, "'hcair' is not a class of"),
        "set": ({"files": [path], **stored, "labels": "s3sid"}, "--labels s3sid: not a file"),
        "flat": ({"files": [path], **stored, "labels": str(tmp_path / "flat.yaml")}, "flat.yaml: not a map"),
        "nested": ({"files": [path], **stored, "labels": str(tmp_path / "nested.yaml")}, "nested.yaml: not a map"),
        "scores": ({"files": [path], **stored, "classes": "scannet"}, "is not a class of scannet20"),
        "missing": ({"files": [tmp_path / "c.ply"], **stored}, "c.ply: no such file"),
        "both": ({"files": [path], **stored, "ckpt": ckpt}, "--ckpt: does not apply to --prediction"),
        "of data": ({"files": [path], **stored, "tta": True}, "--tta: does not apply to labeled files"),
        "of files": ({"ckpt": ckpt, "classes": "coarse"}, "--classes: does not apply to prepared data"),
        "nothing": ({}, "--ckpt: is missing"),
        "model": ({"files": [path], "ckpt": ckpt, "labels": own, "classes": "coarse"}, "--classes coarse: "),
    }  # fmt: skip


def test_one_line_errors(tmp_path: Path, ckpt: Path, own: str) -> None:
    for what, (arguments, message) in spoiled(tmp_path, ckpt, own).items():
        with pytest.raises(UserError) as error:
            evaluate(out=tmp_path / "out", progress_bar=False, **arguments)
        assert message in str(error.value), what
        assert not clear(error.value, ""), what
    assert not (tmp_path / "out").exists(), "nothing is written"
