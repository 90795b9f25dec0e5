"""Tiny image data sets in the layouts of the real ones: rectangles whose color reveals their class."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from pcseg.labels import S3DIS


def fake_picture(
    seed: int, values: list[int], *, size: tuple[int, int] = (48, 64)
) -> tuple[np.ndarray, np.ndarray]:
    """Return colors ``(H, W, 3)`` and raw labels ``(H, W)``: rectangles on a background of the first value."""
    rng = np.random.default_rng(seed)
    height, width = size
    label = np.full(size, values[0], np.int64)
    for value in rng.permutation(values[1:]):
        top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
        label[top : top + rng.integers(8, height // 2), left : left + rng.integers(8, width // 2)] = value
    palette = np.random.default_rng(5).integers(0, 256, (max(values) + 1, 3))
    color = palette[label] + rng.normal(0, 6, (*size, 3))
    return np.clip(color, 0, 255).astype(np.uint8), label


def save(image: np.ndarray, path: Path, *, palette: bool = False) -> None:
    """Write an image file, with a palette if requested."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image)
    if palette:
        picture.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    picture.save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))


def write_room_frames(folder: Path, *, rooms: dict[str, int] | None = None, frames: int = 2) -> Path:
    """Frames in the layout of ``data_prep.frames``, without depth and poses."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "frames.json").write_text(json.dumps({"schema": json.loads(S3DIS.to_json())}))
    for area, count in (rooms or {"Area_1": 4, "Area_5": 1}).items():
        for room in range(count):
            for frame in range(frames):
                scene = folder / area / f"office_{room + 1}"
                color, label = fake_picture(1000 * int(area[-1]) + 10 * room + frame, [3, 1, 2, 8, 9])
                label[:2] = 0
                save(color, scene / "color" / f"{frame:06d}.jpg")
                save(label.astype(np.uint8), scene / "label" / f"{frame:06d}.png")
    return folder


def write_scannet_frames(folder: Path) -> Path:
    """Write frames of ScanNet: images twice as large as labels, nyu40 ids, lists of scenes."""
    scenes = {"train": ["scene0000_00", "scene0001_00"], "val": ["scene0011_00"]}
    for split, names in scenes.items():
        for number, name in enumerate(names):
            color, label = fake_picture(number, [1, 2, 5, 40, 16])
            save(color.repeat(2, axis=0).repeat(2, axis=1), folder / name / "color" / "000000.jpg")
            save(label.astype(np.uint8), folder / name / "label" / "000000.png")
        (folder / f"scannetv2_{split}.txt").write_text("\n".join(names) + "\n")
    return folder


def write_ade20k(folder: Path) -> Path:
    """ADE20K as released: 0 is other, classes from 1."""
    for split, prefix, count in (("training", "ADE_train", 3), ("validation", "ADE_val", 1)):
        for number in range(1, count + 1):
            color, label = fake_picture(number, [1, 0, 4, 150])
            save(color, folder / "images" / split / f"{prefix}_{number:08d}.jpg")
            save(label.astype(np.uint8), folder / "annotations" / split / f"{prefix}_{number:08d}.png")
    return folder


def write_cityscapes(folder: Path) -> Path:
    """Cityscapes as released: labelIds, not trainIds."""
    for split, cities in (("train", ["aachen", "bochum"]), ("val", ["munster"])):
        for number, city in enumerate(cities):
            color, label = fake_picture(number, [7, 0, 11, 33, 24, 3])
            name = f"{city}_000000_000019"
            save(color, folder / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png")
            save(label.astype(np.uint8), folder / "gtFine" / split / city / f"{name}_gtFine_labelIds.png")
            save(
                (0 * label).astype(np.uint8),
                folder / "gtFine" / split / city / f"{name}_gtFine_labelTrainIds.png",
            )
    return folder


def write_voc(folder: Path) -> Path:
    """VOC 2012 and beside it SBD: palettes, a border of 255, two images more of which one is for validation."""
    from scipy.io import savemat

    names = {"train": ["2007_000001", "2007_000002"], "val": ["2007_000003"]}
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True, exist_ok=True)
    sbd = folder / "benchmark_RELEASE" / "dataset"
    (sbd / "cls").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate([*names["train"], *names["val"], "2008_000004"]):
        color, label = fake_picture(number, [0, 1, 15, 20])
        save(color, folder / "JPEGImages" / f"{name}.jpg")
        if name.startswith("2007"):
            label[20:22] = 255
            save(label.astype(np.uint8), folder / "SegmentationClass" / f"{name}.png", palette=True)
        fields = {"GTcls": {"Segmentation": label.astype(np.uint8)}}
        savemat(sbd / "cls" / f"{name}.mat", fields)
    for split, listed in names.items():
        (lists / f"{split}.txt").write_text("\n".join(listed) + "\n")
    (sbd / "train.txt").write_text("2007_000001\n2008_000004\n")
    (sbd / "val.txt").write_text("2007_000003\n")
    return folder


def write_pascal_context(folder: Path, *, originals: bool = False) -> Path:
    """VOC 2010 with PASCAL-Context's labels, converted to 0..59 or as the original .mat files."""
    from scipy.io import savemat

    lists = folder / "ImageSets" / "SegmentationContext"
    lists.mkdir(parents=True, exist_ok=True)
    for split, names in (("train", ["2008_000002", "2008_000003"]), ("val", ["2008_000008"])):
        for number, name in enumerate(names):
            color, label = fake_picture(number, [0, 1, 2, 59])
            save(color, folder / "JPEGImages" / f"{name}.jpg")
            if originals:
                raw = np.zeros(60, np.uint16)
                raw[[0, 1, 2, 59]] = [7, 2, 9, 458]  # 7 is none of the 59
                (folder / "trainval").mkdir(exist_ok=True)
                savemat(folder / "trainval" / f"{name}.mat", {"LabelMap": raw[label]})
            else:
                save(label.astype(np.uint8), folder / "SegmentationClassContext" / f"{name}.png")
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
    return folder


WRITERS = {
    "room_frames": write_room_frames,
    "scannet_frames": write_scannet_frames,
    "ade20k": write_ade20k,
    "cityscapes": write_cityscapes,
    "voc": write_voc,
    "pascal_context": write_pascal_context,
    "pascal_context_60": write_pascal_context,
}


def write_images(folder: Path, dataset: str) -> Path:
    """A tiny data set of the kind that a configuration calls ``dataset``."""
    return WRITERS[dataset](folder)
