"""The command ``pcseg evaluate`` on small prepared buildings, frames and untrained models."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from helpers.checkpoints import GRID_SIZE, write_checkpoint, write_image_checkpoint
from helpers.fake_images import write_room_frames
from helpers.fakes import fake_room, write_fake_building

from pcseg.checkpoint import KEY, load_checkpoint, read_checkpoint
from pcseg.cli import main
from pcseg.data.manifest import Manifest, describe_scene
from pcseg.data.predictions import read_prediction
from pcseg.data.sample import load_sample
from pcseg.data.scenes import read_scene, write_scene
from pcseg.data.schemas import SCANNET20, SCANNET20_BENCHMARK
from pcseg.errors import UserError
from pcseg.evaluation.evaluate import evaluate
from pcseg.evaluation.provenance import code_hash, default_protocol
from pcseg.evaluation.tables import scannet_result
from pcseg.inference.clouds import predict_sample
from pcseg.inference.points import PointOptions, predict_scene
from pcseg.inference.tta import S3DIS_PASSES
from pcseg.labels import S3DIS, LabelSchema
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.training.initial_weights import history, save_weights


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("building")
    return write_fake_building(folder, rooms={"Area_1": 2, "Area_5": 2}, num_points=600)


@pytest.fixture
def ckpt(tmp_path: Path, building: Path) -> Path:
    return write_checkpoint(tmp_path / "model.ckpt", building)


def results(out: Path) -> dict:
    return json.loads((out / "results.json").read_text())


@pytest.mark.slow
def test_scores_count_every_point_of_the_test_split(ckpt: Path, building: Path, tmp_path: Path) -> None:
    report = evaluate(ckpt=ckpt, out=tmp_path / "out", progress_bar=False)
    model, expected = load_checkpoint(ckpt), ConfusionMatrix(13)
    for path in sorted((building / "Area_5").glob("*.h5")):
        scene = read_scene(path)
        prediction = predict_scene(
            model.network,
            load_sample(scene, name=path.stem),
            grid_size=GRID_SIZE,
            features=model.features,
            options=PointOptions(fragments="all"),
        )
        expected.update(torch.from_numpy(prediction.label), torch.from_numpy(np.array(scene.label)))
        (file,) = (tmp_path / "out").rglob(f"Area_5/{path.stem}.npz")
        assert np.array_equal(read_prediction(file).label, prediction.label)
        assert read_prediction(file).checkpoint == model.hash
    assert torch.equal(report.matrix.counts, expected.counts)
    assert report.matrix.labeled.sum() == 1200
    written = results(tmp_path / "out")
    assert written["confusion"] == expected.counts.tolist()
    assert written["scores"]["miou"]["excluded"] == pytest.approx(expected.mean_iou())


def test_the_report_has_its_provenance(ckpt: Path, building: Path, tmp_path: Path) -> None:
    evaluate(ckpt=ckpt, out=tmp_path / "out", fragments=2, progress_bar=False)
    record = results(tmp_path / "out")["provenance"]
    model = load_checkpoint(ckpt)
    assert record["manifest"] == Manifest.read(building).hash
    assert record["checkpoint"] == model.hash
    assert (record["splits"], record["scenes"], record["points"]) == (["Area_5"], 2, 1200)
    assert (record["fragments"], record["grid_size"], record["tta"]) == (2, GRID_SIZE, ["identity"])
    assert record["code"] == code_hash(model)
    assert record["protocol"] == "generic", "the data set is neither S3DIS nor ScanNet"
    assert record["classes"] == list(S3DIS.names)
    assert record["kept_from_training"] is True
    page = (tmp_path / "out" / "results.md").read_text()
    assert all(f"- {key}: " in page for key in record)
    evaluate(ckpt=ckpt, out=tmp_path / "trained", splits="Area_1", fragments=1, progress_bar=False)
    assert results(tmp_path / "trained")["provenance"]["kept_from_training"] is False


@pytest.mark.slow
def test_the_training_history_counts(ckpt: Path, building: Path, tmp_path: Path) -> None:
    def fine_tuned_from(path: Path) -> dict[str, Any]:
        content = torch.load(ckpt, weights_only=True)
        content[KEY]["initial_weights"] = history(read_checkpoint(path))
        torch.save(content, tmp_path / "later.ckpt")
        evaluate(ckpt=tmp_path / "later.ckpt", out=tmp_path / "out", fragments=1, progress_bar=False)
        return results(tmp_path / "out")["provenance"]

    record = fine_tuned_from(ckpt)
    assert record["kept_from_training"] is True
    assert record["initial_weights"] == f"checkpoint {load_checkpoint(ckpt).hash}"
    content = torch.load(ckpt, weights_only=True)
    content[KEY]["config"]["data"]["init_args"]["test_splits"] = ["Area_1"]
    torch.save(content, tmp_path / "seen.ckpt")
    assert fine_tuned_from(tmp_path / "seen.ckpt")["kept_from_training"] is False
    content[KEY]["manifest_hash"] = "another"
    torch.save(content, tmp_path / "other.ckpt")
    assert fine_tuned_from(tmp_path / "other.ckpt")["kept_from_training"] is None
    content = torch.load(ckpt, weights_only=True)
    content[KEY]["initial_weights"] = history(read_checkpoint(tmp_path / "seen.ckpt"))  # two trainings before
    torch.save(content, tmp_path / "between.ckpt")
    assert fine_tuned_from(tmp_path / "between.ckpt")["kept_from_training"] is False
    save_weights(tmp_path / "published.ckpt", {}, missing=[], origin="PTv3: model_best.pth")
    record = fine_tuned_from(tmp_path / "published.ckpt")
    assert (record["initial_weights"], record["kept_from_training"]) == ("PTv3: model_best.pth", True)


def test_converted_weights_have_an_unknown_history(ckpt: Path, building: Path, tmp_path: Path) -> None:
    content = torch.load(ckpt, weights_only=True)
    content[KEY]["converted_from"] = "PTv3: model_best.pth"
    torch.save(content, ckpt)
    evaluate(ckpt=ckpt, out=tmp_path / "out", fragments=1, progress_bar=False)
    record = results(tmp_path / "out")["provenance"]
    assert (record["kept_from_training"], record["trained_on_manifest"]) == (None, None)
    assert record["initial_weights"] == "PTv3: model_best.pth"


@pytest.mark.slow
def test_predictions_are_reused_only_for_the_same_checkpoint_options_and_code(
    ckpt: Path, building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, calls = tmp_path / "out", []
    monkeypatch.setattr(
        "pcseg.evaluation.points.predict_sample",
        lambda *a, **k: calls.append(a[1].name) or predict_sample(*a, **k),
    )
    first = evaluate(ckpt=ckpt, out=out, fragments=1, progress_bar=False)
    assert calls == ["Area_5/office_1", "Area_5/office_2"]
    again = evaluate(ckpt=ckpt, out=out, fragments=1, progress_bar=False)
    assert len(calls) == 2
    assert torch.equal(first.matrix.counts, again.matrix.counts)
    next(out.rglob("office_2.npz")).unlink()  # as if it was killed at this point
    evaluate(ckpt=ckpt, out=out, fragments=1, progress_bar=False)
    assert calls[2:] == ["Area_5/office_2"]
    evaluate(ckpt=ckpt, out=out, fragments=3, progress_bar=False)
    assert len(calls) == 5
    other = write_checkpoint(tmp_path / "other.ckpt", building, seed=1)
    evaluate(ckpt=other, out=out, fragments=1, progress_bar=False)
    assert len(calls) == 7
    monkeypatch.setattr("pcseg.evaluation.provenance._package_hash", lambda: "the code was edited")
    evaluate(ckpt=ckpt, out=out, fragments=1, progress_bar=False)
    assert len(calls) == 9


@pytest.mark.slow
def test_tta_and_single_pass_are_both_reported(
    ckpt: Path, building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pass alone is stored as an evaluation without TTA would store it."""
    model, expected = load_checkpoint(ckpt), ConfusionMatrix(13)
    for path in sorted((building / "Area_5").glob("*.h5")):
        scene = read_scene(path)
        prediction = predict_scene(
            model.network, load_sample(scene, name=path.stem), grid_size=GRID_SIZE,
            features=model.features, passes=S3DIS_PASSES,
        )  # fmt: skip
        expected.update(torch.from_numpy(prediction.label), torch.from_numpy(np.array(scene.label)))
    options = {"ckpt": ckpt, "out": tmp_path / "out", "fragments": 1, "progress_bar": False}
    report = evaluate(tta=True, **options)
    assert torch.equal(report.matrix.counts, expected.counts)
    written = results(tmp_path / "out")
    assert written["provenance"]["passes"] == 10
    assert written["provenance"]["protocol"] == "generic"
    assert written["provenance"]["tta"] == list(map(str, S3DIS_PASSES))
    monkeypatch.setattr("pcseg.evaluation.points.predict_sample", None)  # all predictions are stored
    single = evaluate(**options)
    assert report.single_pass is not None
    assert torch.equal(single.matrix.counts, report.single_pass.counts)
    assert single.single_pass is None
    again = evaluate(tta=True, **options)
    assert torch.equal(again.matrix.counts, expected.counts)
    assert torch.equal(again.single_pass.counts, report.single_pass.counts)  # type: ignore[union-attr]


def test_confusion_per_room_and_boundary_iou(ckpt: Path, tmp_path: Path) -> None:
    report = evaluate(ckpt=ckpt, out=tmp_path / "out", fragments=1, boundary=0.1, progress_bar=False)
    assert report.boundary is not None
    assert report.boundary[1].sum() > 0
    assert report.rooms is not None
    assert report.rooms.sum(dim=(1, 2)).tolist() == [600, 600]
    assert torch.equal(report.rooms.sum(0), report.matrix.counts)
    written = results(tmp_path / "out")
    assert written["boundary"]["mean_iou"] == pytest.approx(
        np.nanmean(report.boundary[0] / report.boundary[1])
    )
    assert written["provenance"]["boundary"] == 0.1
    low, high = written["interval_over_rooms"]["oa"]
    assert low <= written["scores"]["oa"] <= high


@pytest.mark.slow
def test_the_scannet_protocol(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.ckpt: not the classes of a ScanNet benchmark"):
        evaluate(ckpt=ckpt, out=tmp_path / "out", protocol="scannet", progress_bar=False)
    schema = SCANNET20
    root = write_fake_building(tmp_path / "data", rooms={"Area_5": 2}, num_points=200, schema=schema)
    scannet = write_checkpoint(tmp_path / "scannet.ckpt", root, schema=schema)
    report = evaluate(
        ckpt=scannet, out=tmp_path / "out", protocol="scannet", tta=True, fragments=1, progress_bar=False
    )
    assert results(tmp_path / "out")["provenance"]["protocol"] == "scannet"
    assert results(tmp_path / "out")["provenance"]["passes"] == 13
    text = (tmp_path / "out" / "scannet.txt").read_text()
    assert text == scannet_result(report.matrix, schema.names, SCANNET20_BENCHMARK.ids)


@pytest.mark.slow
def test_baselines_are_reported(ckpt: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    evaluate(ckpt=ckpt, out=tmp_path / "out", fragments=1, baselines=True, progress_bar=False)
    baselines = results(tmp_path / "out")["baselines"]
    constant, forest = baselines.values()
    assert constant["oa"] < 0.5
    assert forest["miou"]["excluded"] > constant["miou"]["excluded"]  # the fake rooms differ in color
    page = (tmp_path / "out" / "results.md").read_text()
    assert all(name in page for name in baselines)


def test_a_room_of_one_point(tmp_path: Path) -> None:
    root = write_fake_building(tmp_path / "data", rooms={"Area_5": 1}, num_points=1)
    ckpt = write_checkpoint(tmp_path / "model.ckpt", root)
    report = evaluate(ckpt=ckpt, out=tmp_path / "out", progress_bar=False)
    assert report.matrix.counts.sum() == 1
    assert results(tmp_path / "out")["provenance"]["points"] == 1


def test_baselines_need_other_splits(tmp_path: Path) -> None:
    root = write_fake_building(tmp_path / "data", rooms={"Area_5": 1}, num_points=100)
    with pytest.raises(UserError, match="--baselines: there are no splits besides Area_5"):
        evaluate(ckpt=write_checkpoint(tmp_path / "m.ckpt", root), out=tmp_path / "out", baselines=True)


def test_a_missing_folder(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.*Prepare the data"):
        evaluate(ckpt=ckpt, root=tmp_path / "nowhere", out=tmp_path / "out")


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.ckpt: no such checkpoint"):
        evaluate(ckpt=tmp_path / "none.ckpt", out=tmp_path / "out")


def test_an_unknown_split(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no area or split 'Area_7'\. Choose from Area_1, Area_5"):
        evaluate(ckpt=ckpt, splits=["Area_7"], out=tmp_path / "out")


def test_different_classes_are_an_error_with_both_lists(building: Path, tmp_path: Path) -> None:
    schema = LabelSchema(name="two", names=("left", "right"), colors=((0, 0, 0), (1, 1, 1)))
    ckpt = write_checkpoint(tmp_path / "model.ckpt", building, schema=schema)
    with pytest.raises(UserError, match=r"\['left', 'right'\].*\['ceiling', 'floor'"):
        evaluate(ckpt=ckpt, out=tmp_path / "out")


def broken_building(folder: Path, **changes: np.ndarray) -> tuple[Path, Path]:
    """Write a building whose second room of Area_5 is replaced after the manifest was written."""
    root = write_fake_building(folder / "data", rooms={"Area_5": 2}, num_points=300)
    path = root / "Area_5" / "office_2.h5"
    arrays = {key: value[:300] for key, value in fake_room(5, num_points=300).items()} | changes
    write_scene(path, **arrays, dataset="fake", scene=path.stem, schema=S3DIS)
    return root, path


def record(root: Path, path: Path) -> None:
    """Write a manifest that fits the changed scene."""
    entries = (Manifest.read(root).scenes[0], describe_scene(path, folder=root, source="0"))
    Manifest(dataset="fake", release="fake", schema=S3DIS, scenes=entries).write(root)


def test_an_empty_room(tmp_path: Path) -> None:
    empty = {key: value[:0] for key, value in fake_room(5).items()}
    root, path = broken_building(tmp_path, **empty)
    record(root, path)
    with pytest.raises(UserError, match=r"office_2\.h5: the scene has no points"):
        evaluate(ckpt=write_checkpoint(tmp_path / "m.ckpt", root), out=tmp_path / "out", progress_bar=False)


def test_a_truncated_scene_is_an_error_before_anything_is_predicted(tmp_path: Path) -> None:
    root, path = broken_building(tmp_path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"office_2\.h5"):
        evaluate(ckpt=write_checkpoint(tmp_path / "m.ckpt", root), out=tmp_path / "out", progress_bar=False)
    assert not (tmp_path / "out").exists()


def test_nan_coordinates(tmp_path: Path) -> None:
    root, path = broken_building(tmp_path)
    with h5py.File(path, "r+") as file:
        file["pos"][7, 2] = np.nan
    record(root, path)
    with pytest.raises(UserError, match=r"office_2\.h5: pos of point 7"):
        evaluate(ckpt=write_checkpoint(tmp_path / "m.ckpt", root), out=tmp_path / "out", progress_bar=False)


def test_a_scene_that_differs_from_the_manifest(tmp_path: Path) -> None:
    root, _ = broken_building(tmp_path, **{key: v[:200] for key, v in fake_room(5).items()})
    with pytest.raises(UserError, match=r"office_2\.h5: damaged or changed"):
        evaluate(ckpt=write_checkpoint(tmp_path / "m.ckpt", root), out=tmp_path / "out", progress_bar=False)


def test_results_that_cannot_be_written(ckpt: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*: cannot be created .*Choose another folder"):
        evaluate(ckpt=ckpt, out=tmp_path / "file", progress_bar=False)


def test_an_interrupted_evaluation_resumes(
    ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pcseg.evaluation.points.predict_and_store", interrupt)
    with pytest.raises(KeyboardInterrupt, match="run the command again to resume"):
        evaluate(ckpt=ckpt, out=tmp_path / "out", progress_bar=False)


def test_an_unknown_device(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--device abacus"):
        evaluate(ckpt=ckpt, out=tmp_path / "out", device="abacus")


def test_the_command_prints_the_report(
    ckpt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(
        [
            "evaluate",
            "--ckpt",
            str(ckpt),
            "--out",
            str(tmp_path / "out"),
            "--splits",
            "Area_5",
            "--fragments",
            "1",
        ]
    )
    printed = capsys.readouterr()
    assert "this model" in printed.out
    assert "Area_5" in printed.out
    assert "2 of 2" in printed.err  # progress


@pytest.mark.slow
def test_the_command_scores_an_image_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = write_room_frames(tmp_path / "frames", rooms={"Area_1": 1, "Area_5": 1}, frames=1)
    images = write_image_checkpoint(tmp_path / "images.ckpt", frames)
    options = ["--flip", "--scales", "[1.0, 0.5]", "--progress_bar", "false"]
    main(["evaluate", "--ckpt", str(images), "--out", str(tmp_path / "out"), *options])
    assert "Semantic segmentation of room frames, Area_5" in capsys.readouterr().out
    assert results(tmp_path / "out")["provenance"]["kept_from_training"] is True


@pytest.mark.slow
def test_an_image_model_fine_tuned_from_one_that_saw_the_test_area(tmp_path: Path) -> None:
    frames = write_room_frames(tmp_path / "frames", rooms={"Area_1": 1, "Area_5": 1}, frames=1)
    saw = write_image_checkpoint(tmp_path / "saw.ckpt", frames, test_splits=["Area_1"])
    tuned = write_image_checkpoint(tmp_path / "tuned.ckpt", frames)
    content = torch.load(tuned, weights_only=True)
    content[KEY]["initial_weights"] = history(read_checkpoint(saw))
    torch.save(content, tuned)
    report = evaluate(ckpt=tuned, out=tmp_path / "out", progress_bar=False)
    assert report.provenance["kept_from_training"] is False


def test_an_option_of_the_other_kind_of_model_is_an_error(ckpt: Path, tmp_path: Path) -> None:
    images = write_image_checkpoint(tmp_path / "images.ckpt", tmp_path)
    with pytest.raises(UserError, match=r"--flip: does not apply to .*model\.ckpt, which is a point model"):
        evaluate(ckpt=ckpt, out=tmp_path / "out", flip=True)
    with pytest.raises(UserError, match=r"--tta: does not apply to .*images\.ckpt, which is an image model"):
        evaluate(ckpt=images, out=tmp_path / "out", tta=True)
    assert not (tmp_path / "out").exists()


def test_an_unknown_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--ckpt", "a", "--out", "b", "--fragment", "1"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "--fragment" in error
    assert len(error.splitlines()) <= 8


@pytest.mark.parametrize(
    ("dataset", "protocol"), [("s3dis", "s3dis"), ("scannet200", "scannet"), ("fake", "generic")]
)
def test_the_protocol_follows_from_the_data_set(dataset: str, protocol: str) -> None:
    manifest = Manifest(dataset=dataset, release="", schema=S3DIS, scenes=())
    assert default_protocol(manifest) == protocol
