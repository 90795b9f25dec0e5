"""Evaluation as a whole, on small prepared buildings and an untrained model."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers.checkpoints import GRID_SIZE, write_checkpoint
from helpers.fakes import fake_room, write_fake_building

from pcseg.checkpoint import KEY, load_checkpoint
from pcseg.cli import run
from pcseg.data.manifest import Manifest, describe_scene
from pcseg.data.predictions import read_prediction
from pcseg.data.sample import load_sample
from pcseg.data.scenes import read_scene, write_scene
from pcseg.data.schemas import SCANNET20, SCANNET20_BENCHMARK
from pcseg.errors import UserError
from pcseg.evaluation.points import evaluate
from pcseg.inference.points import predict_scene
from pcseg.inference.tta import S3DIS_VIEWS
from pcseg.labels import S3DIS, LabelSchema
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.metrics.rooms import read_rooms
from pcseg.metrics.scannet import result_file
from pcseg.training.initial_weights import history, save_weights

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("building")
    return write_fake_building(folder, rooms={"Area_1": 2, "Area_5": 2}, num_points=600)


@pytest.fixture
def ckpt(tmp_path: Path, building: Path) -> Path:
    return write_checkpoint(tmp_path / "model.ckpt", building)


def results(out: Path) -> dict:
    return json.loads((out / "results.json").read_text())


def test_scores_count_every_point_of_the_test_split(ckpt: Path, building: Path, tmp_path: Path) -> None:
    report = evaluate(ckpt=ckpt, out=tmp_path / "out", progress_bar=False)
    model, expected = load_checkpoint(ckpt), ConfusionMatrix(13)
    for path in sorted((building / "Area_5").glob("*.h5")):
        scene = read_scene(path)
        prediction = predict_scene(
            model.network, load_sample(scene, name=path.stem), grid_size=GRID_SIZE, features=model.features
        )
        expected.update(torch.from_numpy(prediction.label), torch.from_numpy(np.array(scene.label)))
        (place,) = (tmp_path / "out").rglob(f"Area_5/{path.stem}.npz")
        assert np.array_equal(read_prediction(place).label, prediction.label)
        assert read_prediction(place).checkpoint == model.hash
    assert torch.equal(report.matrix.counts, expected.counts)
    assert report.matrix.labeled.sum() == 1200
    written = results(tmp_path / "out")
    assert written["confusion"] == expected.counts.tolist()
    assert written["scores"]["miou"]["excluded"] == pytest.approx(expected.mean_iou())


def test_the_report_carries_its_protocol(ckpt: Path, building: Path, tmp_path: Path) -> None:
    evaluate(ckpt=ckpt, out=tmp_path / "out", fragments=2, progress_bar=False)
    protocol = results(tmp_path / "out")["protocol"]
    model = load_checkpoint(ckpt)
    assert protocol["manifest"] == Manifest.read(building).hash
    assert protocol["checkpoint"] == model.hash
    assert (protocol["splits"], protocol["scenes"], protocol["points"]) == (["Area_5"], 2, 1200)
    assert (protocol["fragments"], protocol["grid_size"], protocol["votes"]) == (2, GRID_SIZE, ["identity"])
    assert protocol["classes"] == list(S3DIS.names)
    assert protocol["kept_from_training"] is True
    page = (tmp_path / "out" / "results.md").read_text()
    assert all(f"- {key}: " in page for key in protocol)
    evaluate(ckpt=ckpt, out=tmp_path / "trained", splits="Area_1", fragments=1, progress_bar=False)
    assert results(tmp_path / "trained")["protocol"]["kept_from_training"] is False


def test_what_training_began_from_counts(ckpt: Path, building: Path, tmp_path: Path) -> None:
    def began_from(path: Path) -> dict | None:
        content = torch.load(ckpt, weights_only=True)
        content[KEY]["initial_weights"] = history(path)
        torch.save(content, tmp_path / "later.ckpt")
        evaluate(ckpt=tmp_path / "later.ckpt", out=tmp_path / "out", fragments=1, progress_bar=False)
        return results(tmp_path / "out")["protocol"]

    stamp = began_from(ckpt)
    assert stamp["kept_from_training"] is True
    assert stamp["initial_weights"] == f"checkpoint {load_checkpoint(ckpt).hash}"
    content = torch.load(ckpt, weights_only=True)
    content[KEY]["config"]["data"]["init_args"]["test_splits"] = ["Area_1"]
    torch.save(content, tmp_path / "seen.ckpt")
    assert began_from(tmp_path / "seen.ckpt")["kept_from_training"] is False
    content[KEY]["manifest_hash"] = "another"
    torch.save(content, tmp_path / "other.ckpt")
    assert began_from(tmp_path / "other.ckpt")["kept_from_training"] is None
    content = torch.load(ckpt, weights_only=True)
    content[KEY]["initial_weights"] = history(tmp_path / "seen.ckpt")  # two trainings before
    torch.save(content, tmp_path / "between.ckpt")
    assert began_from(tmp_path / "between.ckpt")["kept_from_training"] is False
    save_weights(tmp_path / "published.ckpt", {}, missing=[], origin="PTv3: model_best.pth")
    stamp = began_from(tmp_path / "published.ckpt")
    assert (stamp["initial_weights"], stamp["kept_from_training"]) == ("PTv3: model_best.pth", True)


def test_what_converted_weights_saw_is_not_known(ckpt: Path, building: Path, tmp_path: Path) -> None:
    content = torch.load(ckpt, weights_only=True)
    content[KEY]["converted_from"] = "PTv3: model_best.pth"
    torch.save(content, ckpt)
    evaluate(ckpt=ckpt, out=tmp_path / "out", fragments=1, progress_bar=False)
    stamp = results(tmp_path / "out")["protocol"]
    assert (stamp["kept_from_training"], stamp["trained_on_manifest"]) == (None, None)
    assert stamp["initial_weights"] == "PTv3: model_best.pth"


def test_predictions_are_kept_apart_by_checkpoint_and_protocol(
    ckpt: Path, building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, calls = tmp_path / "out", []
    monkeypatch.setattr(
        "pcseg.evaluation.points.predict_scene",
        lambda *a, **k: calls.append(a[1].name) or predict_scene(*a, **k),
    )
    first = evaluate(ckpt=ckpt, out=out, fragments=1, progress_bar=False)
    assert calls == ["Area_5/office_1", "Area_5/office_2"]
    again = evaluate(ckpt=ckpt, out=out, fragments=1, progress_bar=False)
    assert len(calls) == 2
    assert torch.equal(first.matrix.counts, again.matrix.counts)
    next(out.rglob("office_2.npz")).unlink()  # as if it had been killed there
    evaluate(ckpt=ckpt, out=out, fragments=1, progress_bar=False)
    assert calls[2:] == ["Area_5/office_2"]
    evaluate(ckpt=ckpt, out=out, fragments=3, progress_bar=False)
    assert len(calls) == 5
    other = write_checkpoint(tmp_path / "other.ckpt", building, seed=1)
    evaluate(ckpt=other, out=out, fragments=1, progress_bar=False)
    assert len(calls) == 7


def test_augmentation_and_single_pass_are_both_reported(
    ckpt: Path, building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten passes as predict_scene averages them; the first pass is the plain evaluation, and is stored as such."""
    model, expected = load_checkpoint(ckpt), ConfusionMatrix(13)
    for path in sorted((building / "Area_5").glob("*.h5")):
        scene = read_scene(path)
        prediction = predict_scene(
            model.network, load_sample(scene, name=path.stem), grid_size=GRID_SIZE,
            features=model.features, votes=S3DIS_VIEWS, fragments=1,
        )  # fmt: skip
        expected.update(torch.from_numpy(prediction.label), torch.from_numpy(np.array(scene.label)))
    options = {"ckpt": ckpt, "out": tmp_path / "out", "fragments": 1, "progress_bar": False}
    report = evaluate(tta=True, **options)
    assert torch.equal(report.matrix.counts, expected.counts)
    written = results(tmp_path / "out")
    assert written["protocol"]["passes"] == 10
    assert written["protocol"]["protocol"] == "s3dis"
    assert written["protocol"]["votes"] == list(map(str, S3DIS_VIEWS))
    monkeypatch.setattr("pcseg.evaluation.points.predict_scene", None)  # what follows finds all predictions
    single = evaluate(**options)
    assert report.first is not None
    assert torch.equal(single.matrix.counts, report.first.counts)
    assert single.first is None
    again = evaluate(tta=True, **options)
    assert torch.equal(again.matrix.counts, expected.counts)
    assert torch.equal(again.first.counts, report.first.counts)  # type: ignore[union-attr]


def test_rooms_and_boundaries(ckpt: Path, tmp_path: Path) -> None:
    report = evaluate(ckpt=ckpt, out=tmp_path / "out", fragments=1, boundary=0.1, progress_bar=False)
    assert report.boundary is not None
    assert report.boundary.union.sum() > 0
    rooms = read_rooms(tmp_path / "out" / "rooms.npz")
    assert rooms.names == ("Area_5/office_1", "Area_5/office_2")
    assert torch.equal(rooms.total().counts, report.matrix.counts)
    written = results(tmp_path / "out")
    assert written["boundary"]["mean_iou"] == pytest.approx(report.boundary.mean_iou())
    assert written["protocol"]["boundary"] == 0.1
    low, high = written["interval_over_rooms"]["oa"]
    assert low <= written["scores"]["oa"] <= high


def test_the_protocol_of_scannet(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.ckpt: not the classes of a ScanNet benchmark"):
        evaluate(ckpt=ckpt, out=tmp_path / "out", protocol="scannet", progress_bar=False)
    schema = SCANNET20
    root = write_fake_building(tmp_path / "data", rooms={"Area_5": 2}, num_points=200, schema=schema)
    scannet = write_checkpoint(tmp_path / "scannet.ckpt", root, schema=schema)
    report = evaluate(ckpt=scannet, out=tmp_path / "out", tta=True, fragments=1, progress_bar=False)
    assert results(tmp_path / "out")["protocol"]["protocol"] == "scannet"
    assert results(tmp_path / "out")["protocol"]["passes"] == 13
    text = (tmp_path / "out" / "scannet.txt").read_text()
    assert text == result_file(report.matrix, schema.names, SCANNET20_BENCHMARK.ids)


def test_baselines_stand_beside_the_result(ckpt: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    evaluate(ckpt=ckpt, out=tmp_path / "out", fragments=1, baselines=True, progress_bar=False)
    baselines = results(tmp_path / "out")["baselines"]
    constant, forest = baselines.values()
    assert constant["oa"] < 0.5
    assert forest["miou"]["excluded"] > constant["miou"]["excluded"]  # the colours of the fake rooms tell
    page = (tmp_path / "out" / "results.md").read_text()
    assert all(name in page for name in baselines)


def test_one_point_a_room(tmp_path: Path) -> None:
    root = write_fake_building(tmp_path / "data", rooms={"Area_5": 1}, num_points=1)
    ckpt = write_checkpoint(tmp_path / "model.ckpt", root)
    report = evaluate(ckpt=ckpt, out=tmp_path / "out", progress_bar=False)
    assert report.matrix.counts.sum() == 1
    assert results(tmp_path / "out")["protocol"]["points"] == 1


def test_baselines_need_other_splits(tmp_path: Path) -> None:
    root = write_fake_building(tmp_path / "data", rooms={"Area_5": 1}, num_points=100)
    with pytest.raises(UserError, match="there are none"):
        evaluate(ckpt=write_checkpoint(tmp_path / "m.ckpt", root), out=tmp_path / "out", baselines=True)


def test_a_missing_folder(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.*prepare the data"):
        evaluate(ckpt=ckpt, root=tmp_path / "nowhere", out=tmp_path / "out")


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint at .*none\.ckpt"):
        evaluate(ckpt=tmp_path / "none.ckpt", out=tmp_path / "out")


def test_an_unknown_split(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no area or split 'Area_7'; there are Area_1, Area_5"):
        evaluate(ckpt=ckpt, splits=["Area_7"], out=tmp_path / "out")


def test_another_schema_shows_both_lists(building: Path, tmp_path: Path) -> None:
    schema = LabelSchema(name="two", names=("left", "right"), colors=((0, 0, 0), (1, 1, 1)))
    ckpt = write_checkpoint(tmp_path / "model.ckpt", building, schema=schema)
    with pytest.raises(UserError, match=r"\['left', 'right'\].*\['ceiling', 'floor'"):
        evaluate(ckpt=ckpt, out=tmp_path / "out")


def broken_building(folder: Path, **changes: np.ndarray) -> tuple[Path, Path]:
    """A building whose second room of Area_5 is written anew after the manifest."""
    root = write_fake_building(folder / "data", rooms={"Area_5": 2}, num_points=300)
    path = root / "Area_5" / "office_2.h5"
    arrays = {key: value[:300] for key, value in fake_room(5, num_points=300).items()} | changes
    write_scene(path, **arrays, dataset="fake", scene=path.stem, schema=S3DIS)
    return root, path


def test_an_empty_room(tmp_path: Path) -> None:
    empty = {key: value[:0] for key, value in fake_room(5).items()}
    root, path = broken_building(tmp_path, **empty)
    manifest = Manifest.read(root)
    entries = (manifest.scenes[0], describe_scene(read_scene(path), folder=root, source="0"))
    Manifest(dataset="fake", release="fake", schema=S3DIS, scenes=entries).write(root)
    with pytest.raises(UserError, match=r"office_2\.h5: the scene has no points"):
        evaluate(ckpt=write_checkpoint(tmp_path / "m.ckpt", root), out=tmp_path / "out", progress_bar=False)


def test_a_truncated_scene_is_found_before_anything_is_predicted(tmp_path: Path) -> None:
    root, path = broken_building(tmp_path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"office_2\.h5"):
        evaluate(ckpt=write_checkpoint(tmp_path / "m.ckpt", root), out=tmp_path / "out", progress_bar=False)
    assert not (tmp_path / "out").exists()


def test_nan_coordinates(tmp_path: Path) -> None:
    root, path = broken_building(tmp_path)
    with h5py.File(path, "r+") as file:
        file["pos"][7, 2] = np.nan
    with pytest.raises(UserError, match=r"office_2\.h5: pos of point 7"):
        evaluate(ckpt=write_checkpoint(tmp_path / "m.ckpt", root), out=tmp_path / "out", progress_bar=False)


def test_a_scene_that_is_not_the_manifests(tmp_path: Path) -> None:
    root, _ = broken_building(tmp_path, **{key: v[:200] for key, v in fake_room(5).items()})
    with pytest.raises(UserError, match=r"holds 200 points, the manifest says 300"):
        evaluate(ckpt=write_checkpoint(tmp_path / "m.ckpt", root), out=tmp_path / "out", progress_bar=False)


def test_results_that_cannot_be_written(ckpt: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*: cannot be created .*Choose another folder"):
        evaluate(ckpt=ckpt, out=tmp_path / "file", progress_bar=False)


def test_an_interrupted_evaluation_goes_on(
    ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pcseg.evaluation.points.predict_and_store", interrupt)
    with pytest.raises(KeyboardInterrupt, match="run again to go on"):
        evaluate(ckpt=ckpt, out=tmp_path / "out", progress_bar=False)


def test_an_unknown_device(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--device abacus"):
        evaluate(ckpt=ckpt, out=tmp_path / "out", device="abacus")


@pytest.fixture
def command() -> Callable[..., object]:
    """What ``scripts/evaluate.py`` runs."""
    return runpy.run_path(str(ROOT / "scripts" / "evaluate.py"))["command"]


def test_the_command_prints_the_report(
    command: Callable, ckpt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--ckpt", str(ckpt), "--out", str(tmp_path / "out"), "--splits", "Area_5", "--fragments", "1"]
    run(command, args=args)
    printed = capsys.readouterr()
    assert "this model" in printed.out
    assert "Area_5" in printed.out
    assert "2 of 2" in printed.err  # progress


def test_an_unknown_option(command: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(command, args=["--ckpt", "a", "--out", "b", "--fragment", "1"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "--fragment" in error
    assert len(error.splitlines()) <= 8
