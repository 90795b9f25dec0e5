"""Decide which axis of a cloud points up: z, unless several independent signs agree on another one."""

from dataclasses import dataclass

import numpy as np

from pcseg.data.camera_view import is_view
from pcseg.data.surfaces import AxisSigns, Surfaces

DIRECTIONS = ("x", "y", "z")


@dataclass(frozen=True, kw_only=True)
class UpGuess:
    """The direction that points up, why, whether it is doubtful, and whether the cloud is a camera view."""

    up: str
    reason: str
    doubt: bool = False
    one_view: bool = False


def find_up(surfaces: Surfaces, *, camera: bool = True) -> UpGuess:
    """Return the direction that points up, and whether the cloud is a view of a camera at the origin.

    Another axis replaces z if its signs clearly outweigh those of z, at least two of them are clear, none clearly
    favors z, and it is clear which of its ends is the top. Otherwise z stays, with a doubt unless its own signs are
    clear.

    Convention:
        Signs of an axis: surfaces perpendicular or parallel to it (furniture is turned about the vertical only), a
        small extent, objects that are nearer to one end, one covered and one open end, map coordinates.
    """
    if surfaces.step:
        rounded = f"assumed, as coordinates are rounded to steps of {surfaces.step:g}"
        return UpGuess(up="z", reason=rounded, doubt=True)
    maybe = False
    if camera:
        for up, sign, axes in (("-y", 1, "y down and z forward"), ("y", -1, "y up and z backward")):
            possible, certain = is_view(surfaces.dense * (1, sign, sign))
            if certain:
                return UpGuess(up=up, reason=f"a camera view with {axes}", one_view=True)
            maybe |= possible
    signs = [surfaces.signs(axis) for axis in range(3)]
    against_z = [compare(signs[axis], signs[2]) for axis in range(2)]
    best = int(np.argmax([v.sum() for v in against_z]))
    values, name, seen = against_z[best], DIRECTIONS[best], "from horizontal and vertical surfaces"
    beats_other = compare(signs[best], signs[1 - best]).sum() > 1
    upright = max(values[0], values[2] / 2, values[5]) > 0.4
    clear = values.sum() >= 2.5 and (values > 0.5).sum() >= 2 and values.min() > -0.5
    if clear and upright and beats_other and signs[best].cover > 0.5:
        direction = facing(signs[best])
        if abs(direction) >= 1.2:
            return UpGuess(up=name if direction > 0 else f"-{name}", reason=seen)
        return UpGuess(up="z", reason=f"assumed, although {name} looks vertical", doubt=True)
    direction = facing(signs[2])
    above = values.sum() <= -2 and signs[2].one_end and not signs[2].is_map
    if direction <= -3.5 and above:
        return UpGuess(up="-z", reason="from the furniture and the open end")
    # small extent and covered ends are one sign: that of a flat box
    sure = not maybe and all(
        v.sum() <= -1 and v[[0, 2, 3, 5]].min() < -0.5 and v.max() < 1.2 for v in against_z
    )
    reason = seen if sure else "assumed, as the surfaces do not decide"
    return UpGuess(up="z", reason=reason, doubt=not sure or direction < -0.5)


def compare(one: AxisSigns, other: AxisSigns) -> np.ndarray:
    """Return the value of each sign, positive for ``one`` as the vertical, negative for ``other``; 1 is clear."""
    straight = np.log((other.misfit + 0.003) / (one.misfit + 0.003))
    flat = np.log(max(other.extent, 1e-12) / max(one.extent, 1e-12))
    leaning = abs(one.objects + one.tables / 2) - abs(other.objects + other.tables / 2)
    return np.array(
        [
            np.clip(straight / 0.6, -2, 2),
            np.clip(flat / 0.5, -2, 2),
            np.clip(leaning / 0.08, -1.5, 1.5),
            _open(one, other) - _open(other, one),
            np.clip((one.cover - other.cover) / 0.15, -1, 1),
            2.0 * (one.is_map - other.is_map),
        ]
    )


def _open(one: AxisSigns, other: AxisSigns) -> float:
    """Return the weight of one open end; pieces that are cut from a room have one at each wall."""
    return one.one_end * (1.5 if other.cover < 0.6 else 0.75)


def facing(signs: AxisSigns) -> float:
    """Return how clearly the axis (positive) or its opposite (negative) points up; 1 is clear."""
    gravity = np.clip(-signs.objects / 0.06, -2, 2) + np.clip(-signs.tables / 0.2, -1, 1)
    if signs.one_end:
        return float(gravity + np.sign(signs.bottom - signs.top) * 2.5)
    # floors have holes below furniture, ceilings do not
    return float(gravity + np.clip((signs.top - signs.bottom) / 0.1, -1, 1))
