"""Tiny image data sets in the layouts of the real ones: squares whose colour gives their class away."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from pcseg.labels import S3DIS


def fake_picture(
    seed: int, values: list[int], *, size: tuple[int, int] = (48, 64)
) -> tuple[np.ndarray, np.ndarray]:
    """Colours ``(H, W, 3)`` and raw labels ``(H, W)``: a ground of the first value, rectangles of the others."""
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
    """Write a picture file, with a palette if asked for."""
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


def write_images(folder: Path, dataset: str) -> Path:
    """A tiny data set of the kind that a configuration calls ``dataset``."""
    return {"room_frames": write_room_frames}[dataset](folder)
