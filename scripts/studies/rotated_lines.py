"""Measure lines and probabilities of rotated rooms: ``python scripts/studies/rotated_lines.py --root data/rooms``."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.cli import run
from pcseg.data.manifest import Manifest, verified_scene
from pcseg.data.rooms import in_room_axes
from pcseg.data.sample import Sample, load_sample
from pcseg.data.transforms.geometry import rotation, turn
from pcseg.data.voxels import group_by_voxel
from pcseg.evaluation.points import entries_in
from pcseg.files import write_text
from pcseg.inference.points import predict_scene
from pcseg.ops.attention import effective_reach
from pcseg.ops.lines import axis_lines
from pcseg.ops.voxels import VoxelSet

TOKENS = 200
"""Tokens per room whose reach is averaged."""


def rotated_lines(
    *,
    root: Path,
    splits: list[str],
    ckpt: Path | None = None,
    angles: list[float] | None = None,
    rooms: int = 4,
    voxel: float = 0.2,
    report: Path | None = None,
) -> str:
    """Return a table of rooms that are rotated about the vertical by every angle.

    Args:
        root: Prepared folder.
        splits: Splits or areas whose first rooms are measured.
        ckpt: Model with estimated axes; its probabilities are compared with those of the unrotated room.
        angles: Angles in degrees.
        rooms: Number of rooms.
        voxel: Edge in meters of the voxels that form lines.
        report: File for the table.
    """
    model = None if ckpt is None else load_checkpoint(ckpt)
    entries = entries_in(Manifest.read(root), splits, root=root)[:rooms]
    found = [load_sample(verified_scene(root, entry), name=entry.name) for entry in entries]
    base = [in_room_axes(room)[0] for room in found]
    expected = [probabilities(model, room) for room in base]
    lines = ["| angle | reach, axes of the file | reach, estimated axes | same class | difference of probabilities |",
             "|---|---|---|---|---|"]  # fmt: skip
    cases: list[tuple[str, float, float]] = [
        (f"{angle:g}°", angle, 0.0) for angle in angles or [0, 13, 27, 45]
    ]
    half = model.grid_size / 2 if model else voxel / 2
    for name, angle, shift in [*cases, ("0°, moved by half a voxel", 0.0, half)]:
        raw = [moved(turn(room, rotation("z", np.deg2rad(angle))), shift) for room in found]
        axes = [quarter_turned(moved(in_room_axes(room)[0], shift), as_in) for room, as_in in zip(raw, base)]
        shares = [np.mean([reach(room, voxel) for room in each]) for each in (raw, axes)]
        differences = [
            (np.mean(p.argmax(1) == q.argmax(1)), np.abs(p - q).mean())
            for p, q in zip(map(probabilities, [model] * len(axes), axes), expected)
        ] if model else [(np.nan, np.nan)]  # fmt: skip
        same, difference = np.mean(differences, axis=0)
        lines.append(f"| {name} | {shares[0]:.3f} | {shares[1]:.3f} | {same:.2%} | {difference:.5f} |")
        print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    if report is not None:
        write_text(
            report,
            f"# Lines of rotated rooms\n\nMade by `python scripts/studies/rotated_lines.py`.\n\n{table}",
        )
    return table


def moved(sample: Sample, shift: float) -> Sample:
    return replace(sample, pos=sample.pos + np.float32(shift))


def quarter_turned(sample: Sample, reference: Sample) -> Sample:
    """Return the sample rotated by the multiple of 90 degrees that brings it closest to ``reference``."""
    turned = [turn(sample, rotation("z", quarter * np.pi / 2)) for quarter in range(4)]
    centered = reference.pos - reference.pos.mean(0)
    return min(turned, key=lambda each: float(np.square(each.pos - each.pos.mean(0) - centered).mean()))


def reach(sample: Sample, voxel: float, tokens: int = TOKENS) -> float:
    """Return the mean share of the voxels that reach a token in three recurrences of axis attention."""
    grid_pos = torch.from_numpy(group_by_voxel(sample.pos, voxel).grid_pos)
    lines = axis_lines(VoxelSet(grid_pos, torch.tensor([0, len(grid_pos)])))
    chosen = np.random.default_rng(0).choice(len(grid_pos), min(tokens, len(grid_pos)), replace=False)
    return float(np.mean([effective_reach([lines] * 3, int(token))[2].double().mean() for token in chosen]))


def probabilities(model: LoadedModel | None, sample: Sample) -> np.ndarray:
    """Return the class probabilities of every point of a room in its axes."""
    if model is None:
        return np.zeros((0, 0))
    found = predict_scene(
        model.network, sample, grid_size=model.grid_size, features=model.features, probabilities=True
    )
    assert found.probability is not None
    return found.probability


if __name__ == "__main__":
    run(rotated_lines)
