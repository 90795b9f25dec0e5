"""Maps of image heads: they come from the pass of prediction, with true labels for frames."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.office import write_image_model, write_office_frame, write_point_model

from pcseg.checkpoint import load_checkpoint
from pcseg.data.images.files import read_indices
from pcseg.errors import UserError
from pcseg.inference.predict import predict_file
from pcseg.views.layers.coloring import available
from pcseg.views.layers.explain_images import explain_image
from pcseg.views.layers.head_layers import head_layer_kinds
from pcseg.views.layers.slab_layers import slab_of_points


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Path:
    color = tmp_path_factory.mktemp("frames") / "Area_1" / "office_1" / "color" / "000000.jpg"
    write_office_frame(color)
    return color


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "field"),
    [("ctnet", "affinity"), ("encnet", "assignment"), ("ccnet", "attend"), ("slab", "slabs")],
)
def test_the_pass_is_that_of_prediction(head: str, field: str, frame: Path, tmp_path: Path) -> None:
    write_image_model(tmp_path / "model.ckpt", head)
    subject = explain_image(load_checkpoint(tmp_path / "model.ckpt"), frame)
    predict_file(frame, ckpt=tmp_path / "model.ckpt", out=tmp_path / "out", device="cpu")
    np.testing.assert_array_equal(subject.prediction, read_indices(tmp_path / "out" / "000000.png").ravel())
    maps = subject.maps
    assert maps is not None
    assert [
        name for name in ("affinity", "assignment", "attend", "slabs") if getattr(maps, name) is not None
    ] == [field]
    raw = read_indices(frame.parents[1] / "label" / "000000.png").ravel()
    np.testing.assert_array_equal(subject.label, raw - 1)
    assert "error" in available(subject)
    share = np.bincount(raw, minlength=14)[1:] / (raw > 0).sum()
    if maps.frequency is not None:
        np.testing.assert_allclose(maps.frequency.argmax(), share.argmax())
    if maps.present is not None:
        np.testing.assert_array_equal(maps.present, share > 0)


def test_slabs_of_images_are_columns_and_rows(frame: Path, tmp_path: Path) -> None:
    write_image_model(tmp_path / "slab.ckpt", "slab")
    subject = explain_image(load_checkpoint(tmp_path / "slab.ckpt"), frame)
    maps = subject.maps
    assert maps is not None
    assert maps.slabs is not None
    assert [shares.name for shares in maps.slabs] == ["columns", "rows"]
    y, x = np.divmod(np.arange(len(subject)), 64)
    for shares, at in zip(maps.slabs, (x, y)):
        assert shares.start[0] == 0
        offset = at + 0.5 - shares.start[slab_of_points(shares, maps)]
        assert offset.min() > 0
        assert offset.max() < shares.thickness
        assert len(shares.start) * shares.thickness == pytest.approx(at.max() + 1)


def test_images_other_than_frames_have_no_labels(frame: Path, tmp_path: Path) -> None:
    write_image_model(tmp_path / "model.ckpt", "ctnet", crop_size=(24, 32))
    picture = tmp_path / "color" / "any.jpg"
    picture.parent.mkdir()
    shutil.copy(frame, picture)
    subject = explain_image(load_checkpoint(tmp_path / "model.ckpt"), picture)
    assert subject.label is None
    assert subject.pixels == (24, 32)
    assert subject.maps is not None
    assert subject.maps.frequency is None


@pytest.mark.slow
def test_baseline(frame: Path, tmp_path: Path) -> None:
    for head in ("ctnet", "encnet"):
        write_image_model(tmp_path / f"{head}.ckpt", head)
    write_image_model(tmp_path / "small.ckpt", "encnet", crop_size=(24, 32))
    model, other = (load_checkpoint(tmp_path / f"{head}.ckpt") for head in ("ctnet", "encnet"))
    alone, compared = explain_image(model, frame), explain_image(model, frame, baseline=other)
    assert alone.maps is not None
    assert compared.maps is not None
    assert head_layer_kinds(alone.maps) == ["affinity"]
    assert head_layer_kinds(compared.maps) == ["affinity", "gain"]
    np.testing.assert_array_equal(compared.maps.probability, alone.maps.probability)
    expected = explain_image(other, frame).maps
    assert expected is not None
    np.testing.assert_array_equal(compared.maps.baseline, expected.probability)
    with pytest.raises(
        UserError, match=r"crop_size \(24, 32\).*has \(48, 64\)\. Compare models with the same crop_size"
    ):
        explain_image(model, frame, baseline=load_checkpoint(tmp_path / "small.ckpt"))


def test_a_point_model_is_rejected(frame: Path, tmp_path: Path) -> None:
    write_point_model(tmp_path / "model.ckpt", "ctnet")
    with pytest.raises(UserError, match="a point model"):
        explain_image(load_checkpoint(tmp_path / "model.ckpt"), frame)
