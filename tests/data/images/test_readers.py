"""Readers of image data sets: layouts, splits, label rules, and errors for bad files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.fake_images import WRITERS, save, write_images, write_pascal_context
from PIL import Image

from data_prep.image_check import check_split
from pcseg.data.images.files import read_indices
from pcseg.data.images.reader import ImageReader
from pcseg.data.images.readers import IMAGE_READERS
from pcseg.data.images.voc import read_mat
from pcseg.errors import UserError

SIZES = {
    "room_frames": {"Area_1": 8, "Area_5": 2},
    "scannet_frames": {"train": 2, "val": 1},
    "ade20k": {"training": 3, "validation": 1},
    "cityscapes": {"train": 2, "val": 1},
    "voc": {"train": 2, "val": 1, "train_aug": 3},
    "pascal_context": {"train": 2, "val": 1},
    "pascal_context_60": {"train": 2, "val": 1},
}
LABELS = {
    "room_frames": {0: -1, 1: 0, 2: 1, 3: 2, 8: 7, 9: 8},
    "scannet_frames": {1: 0, 2: 1, 5: 4, 40: -1, 16: 13},
    "ade20k": {0: -1, 1: 0, 4: 3, 150: 149},
    "cityscapes": {7: 0, 0: -1, 11: 2, 33: 18, 24: 11, 3: -1},
    "voc": {0: 0, 1: 1, 15: 15, 20: 20, 255: -1},
    "pascal_context": {0: -1, 1: 0, 2: 1, 59: 58},
    "pascal_context_60": {0: 0, 1: 1, 2: 2, 59: 59},
}
CLASSES = {
    "scannet_frames": 20,
    "ade20k": 150,
    "cityscapes": 19,
    "voc": 21,
    "pascal_context": 59,
    "pascal_context_60": 60,
}


def open_set(folder: Path, dataset: str) -> ImageReader:
    return IMAGE_READERS[dataset](write_images(folder, dataset))


@pytest.mark.parametrize("dataset", WRITERS)
def test_splits_labels_and_classes(dataset: str, tmp_path: Path) -> None:
    reader = open_set(tmp_path, dataset)
    assert {split: len(reader.pictures(split)) for split in reader.splits} == SIZES[dataset]
    assert reader.schema.num_classes == CLASSES.get(dataset, 13)
    seen = set()
    for split in reader.splits:
        for picture in reader.pictures(split):
            image, label = reader.read(picture)
            assert image.dtype == np.uint8
            assert image.shape == (*label.shape, 3)
            assert picture.label is not None
            if picture.label.suffix == ".png":
                raw = read_indices(picture.label)
                expected = np.vectorize(LABELS[dataset].__getitem__)(raw)
                assert np.array_equal(label, expected)
                seen |= set(np.unique(raw).tolist())
    assert seen == LABELS[dataset].keys()
    found = [check_split(reader, split) for split in reader.splits]
    assert not any(each.problems for each in found)


def test_augmented_set_of_voc_is_all_of_sbd_without_the_validation(tmp_path: Path) -> None:
    reader = open_set(tmp_path, "voc")
    pictures = {picture.name: picture for picture in reader.pictures("train_aug")}
    assert list(pictures) == ["2007_000001", "2007_000002", "2008_000004"]
    assert pictures["2007_000001"].label.suffix == ".png", "labels of VOC are finer"
    extra = pictures["2008_000004"]
    assert extra.label.suffix == ".mat"
    assert set(np.unique(reader.read(extra)[1])) <= {0, 1, 15, 20}
    assert tuple(reader.train_splits) == ("train_aug",)
    # the list of CCNet holds paths
    text = "/JPEGImages/2007_000002.jpg /SegmentationClassAug/2007_000002.png\n"
    (tmp_path / "ImageSets" / "Segmentation" / "train_aug.txt").write_text(text)
    assert [picture.name for picture in reader.pictures("train_aug")] == ["2007_000002"]


def test_augmented_set_of_voc_in_the_layout_of_mmsegmentation(tmp_path: Path) -> None:
    """Converted labels and a list of the added images, without SBD."""
    reader = open_set(tmp_path, "voc")
    pictures = {picture.name: picture for picture in reader.pictures("train_aug")}
    label = reader.read(pictures["2008_000004"])[1]
    save(label.astype(np.uint8), tmp_path / "SegmentationClassAug" / "2008_000004.png")
    shutil.rmtree(tmp_path / "benchmark_RELEASE")
    assert tuple(reader.train_splits) == ("train",)
    (tmp_path / "ImageSets" / "Segmentation" / "aug.txt").write_text("2008_000004\n")
    assert tuple(reader.train_splits) == ("train_aug",)
    found = reader.pictures("train_aug")
    assert [picture.name for picture in found] == list(pictures)
    assert np.array_equal(reader.read(found[-1])[1], label)


def test_original_labels_of_pascal_context_equal_converted_ones(tmp_path: Path) -> None:
    for dataset in ("pascal_context", "pascal_context_60"):
        converted = IMAGE_READERS[dataset](write_pascal_context(tmp_path / "a"))
        original = IMAGE_READERS[dataset](write_pascal_context(tmp_path / "b", originals=True))
        for one, two in zip(converted.pictures("train"), original.pictures("train")):
            assert np.array_equal(converted.read(one)[1], original.read(two)[1])


def test_large_images_of_scannet_are_resized_to_their_labels(tmp_path: Path) -> None:
    reader = open_set(tmp_path, "scannet_frames")
    image, label = reader.read(reader.pictures("train")[0])
    assert label.shape == (48, 64)
    small = np.asarray(
        Image.open(reader.pictures("train")[0].image).resize((64, 48), Image.Resampling.BILINEAR)
    )
    assert np.array_equal(image, small)


def test_test_split_of_scannet_has_no_labels(tmp_path: Path) -> None:
    reader = open_set(tmp_path, "scannet_frames")
    (tmp_path / "scannetv2_test.txt").write_text("scene0707_00\n")
    save(np.zeros((96, 128, 3), np.uint8), tmp_path / "scene0707_00" / "color" / "000000.jpg")
    found = check_split(reader, "test")
    assert (found.images, found.problems) == (1, [])
    assert "It can be predicted, but not used for training or scoring" in found.remarks[0]
    (tmp_path / "scene0000_00" / "label" / "000000.png").unlink()
    assert len(check_split(reader, "train").problems) == 1, "training images need labels"


def test_missing_scenes_of_scannet_are_reported(tmp_path: Path) -> None:
    reader = open_set(tmp_path, "scannet_frames")
    assert not any("frames" in remark for remark in check_split(reader, "train").remarks)
    shutil.rmtree(tmp_path / "scene0001_00")
    remarks = check_split(reader, "train").remarks
    assert remarks[0] == "train: no frames of 1 of the 2 scenes in scannetv2_train.txt, such as scene0001_00"


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.95])
def test_truncated_matlab_files_are_refused(compress: bool, part: float, tmp_path: Path) -> None:
    from scipy.io import savemat

    fields = {"GTcls": {"Segmentation": np.random.default_rng(0).integers(0, 21, (48, 64)).astype(np.uint8)}}
    savemat(tmp_path / "a.mat", fields, do_compression=compress)
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(content[: int(part * len(content))])
    with pytest.raises(UserError, match=r"a\.mat: .* again\.") as caught:
        read_mat(tmp_path / "a.mat", "GTcls", "Segmentation")
    assert "\n" not in str(caught.value)


def first_label(reader: ImageReader) -> Path:
    label = reader.pictures(reader.splits[0])[0].label
    assert label is not None
    return label


def test_bad_file_gives_a_one_line_error(tmp_path: Path) -> None:
    for name, spoil, message in [
        ("size", lambda p: save(np.ones((40, 64), np.uint8), p), r"64 x 40 labels for the 64 x 48 pixels of"),
        (
            "color",
            lambda p: save(np.ones((48, 64, 3), np.uint8), p),
            r"holds colors \(RGB\) instead of one label per pixel",
        ),
        (
            "range",
            lambda p: save(np.full((48, 64), 77, np.uint8), p),
            r"label 77 at column 0, row 0 is out of the range",
        ),
        ("damage", lambda p: p.write_bytes(b"\x89PNG nothing"), "not a readable image"),
        ("gone", lambda p: p.unlink(), "no such file"),
    ]:
        reader = open_set(tmp_path / name, "voc")
        path = first_label(reader)
        spoil(path)
        with pytest.raises(UserError, match=message) as caught:
            reader.read(reader.pictures("train")[0])
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        found = check_split(reader, "train")
        assert len(found.problems) == 1
        assert str(path) in found.problems[0]


def test_converted_palette_is_refused_in_every_data_set(tmp_path: Path) -> None:
    for dataset in ("ade20k", "cityscapes", "pascal_context", "room_frames"):
        reader = open_set(tmp_path / dataset, dataset)
        path = first_label(reader)
        with Image.open(path) as image:
            image.convert("RGB").save(path)
        with pytest.raises(UserError, match="holds colors"):
            reader.read(reader.pictures(reader.splits[0])[0])


def test_missing_folders_lists_and_empty_splits(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a directory\. ADE20K has images/training"):
        IMAGE_READERS["ade20k"](tmp_path / "nowhere")
    reader = open_set(tmp_path / "ade", "ade20k")
    with pytest.raises(UserError, match=r"no split 'test', found: training, validation"):
        reader.pictures("test")
    for image in (tmp_path / "ade" / "images" / "validation").iterdir():
        image.unlink()
    with pytest.raises(UserError, match="split 'validation' is empty"):
        reader.pictures("validation")
    with pytest.raises(UserError, match=r"frames\.json: no such file"):
        IMAGE_READERS["room_frames"](tmp_path / "ade")


def test_check_reports_unusual_splits(tmp_path: Path) -> None:
    reader = open_set(tmp_path, "ade20k")
    found = check_split(reader, "training", workers=2)
    assert found.images == found.read == 3
    assert found.remarks[0] == "training: 3 images; the complete release has 20,210"
    assert "and 139 more" in found.remarks[1]
