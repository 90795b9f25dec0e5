"""Decide which axis of a cloud points up: z, unless several independent signs agree on another one."""

from dataclasses import dataclass

import numpy as np

from pcseg.data.camera_view import is_view
from pcseg.data.surfaces import AxisSigns, Surfaces
from pcseg.data.unit import find_unit

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
    clear = values.sum() >= 2 and (values > 0.4).sum() >= 2 and values.min() > -0.5
    # without turned walls or furniture, a room must be as high as rooms are
    upright = max(values[0], values[5]) > 1
    upright |= clear and max(values[0], values[2] / 2) > 0.4 and _is_room_high(surfaces, best)
    if clear and upright and beats_other and signs[best].cover > 0.5:
        direction = facing(signs[best])
        if abs(direction) >= (4.5 if _is_corridor(signs, best) else 1.8):
            return UpGuess(up=name if direction > 0 else f"-{name}", reason=seen)
        return UpGuess(up="z", reason=f"assumed, although {name} looks vertical", doubt=True)
    direction = facing(signs[2])
    above = values.sum() <= -2 and signs[2].one_end and not signs[2].is_map
    if direction <= -3.5 and above:
        return UpGuess(up="-z", reason="from the furniture and the open end")
    # small extent and covered ends are one sign: that of a flat box
    sure = not maybe and all(
        v.sum() <= -1 and v.max() < 1.2 and (min(v[0], v[5]) < -0.3 or v[[1, 3]].max() < -0.3)
        for v in against_z
    )
    sure = sure and (signs[2].cover > 0.5 or signs[2].is_map or max(v[1] for v in against_z) < -1.5)
    reason = seen if sure else "assumed, as the surfaces do not decide"
    return UpGuess(up="z", reason=reason, doubt=not sure or direction < 0.8)


def _is_corridor(signs: list[AxisSigns], axis: int) -> bool:
    """Return whether a closed room is long and narrow: most of what stands out in it hangs from the ceiling."""
    small, large = sorted(signs[k].extent for k in range(3) if k != axis)
    return large > 2.2 * small and not signs[axis].one_end


def _is_room_high(surfaces: Surfaces, axis: int) -> bool:
    """Return whether the height along an axis is that of a room in some unit."""
    return not find_unit(surfaces, np.eye(3)[axis]).doubt


def compare(one: AxisSigns, other: AxisSigns) -> np.ndarray:
    """Return the value of each sign, positive for ``one`` as the vertical, negative for ``other``; 1 is clear."""
    straight = np.log((other.misfit + 0.003) / (one.misfit + 0.003))
    flat = np.log(max(other.extent, 1e-12) / max(one.extent, 1e-12))
    leaning = abs(facing(one)) - abs(facing(other))
    return np.array(
        [
            np.clip(straight / 0.6, -2, 2),
            np.clip(flat / 0.5, -2, 2),
            np.clip(leaning / 1.5, -0.4, 1.5),  # furniture also stands along one wall
            _open(one, other) - _open(other, one),
            np.clip((one.cover - other.cover) / 0.15, -1, 1),
            2.0 * (one.is_map - other.is_map),
        ]
    )


def _open(one: AxisSigns, other: AxisSigns) -> float:
    """Return the weight of one open end; pieces that are cut from a room have one at each wall."""
    return one.one_end * (0.75 if other.cover < 0.6 else 0.4)


def facing(signs: AxisSigns) -> float:
    """Return how clearly the axis (positive) or its opposite (negative) points up; 1 is clear."""
    objects, tables = np.clip(-signs.objects / 0.06, -2, 2), np.clip(-signs.tables / 0.2, -1, 1)
    if signs.one_end:
        return float(objects + tables + np.sign(signs.bottom - signs.top) * 2.5)
    # floors have holes below furniture, ceilings do not
    ends = np.clip((signs.top - signs.bottom) / 0.1, -1, 1)
    total = objects + tables + ends
    return float(total if min(objects * total, ends * total) >= -0.3 else total / 2)
