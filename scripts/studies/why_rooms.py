"""What the objects of generated rooms are made of: which of them the study why_context's models could tell by sight."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.building.model import RoomModel
from data_prep.building.plan import plan_area
from data_prep.building.room_types import build_room
from data_prep.rooms import read_settings
from pcseg.data.manifest import SceneEntry
from pcseg.data.scenes import read_scene
from pcseg.errors import UserError

ALIKE = 30.0
"""Distance of two colours, 0..255, up to which they are alike: light in a room varies by more."""

KINDS = {
    "window": {"sky": "glass", "slats": "slats", "paint": "drawn blind"},
    "board": {"ink": "with writing", "paint": "plain", "speckle": "cork"},
    "door": {"wood": "wood", "metal": "painted", "paint": "white", "sky": "glass"},
}
"""What the largest surface of an object is, by its texture."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What an object is made of: ``kind`` as in :data:`KINDS`, and whether its colour is ``alike`` the wall's."""

    kind: str
    alike: bool

    def __str__(self) -> str:
        return f"{self.kind}, as the wall" if self.alike else self.kind


def what_things_are(raw: Path, root: Path, entries: Sequence[SceneEntry]) -> dict[tuple[str, int], Made]:
    """What every window, board and door of prepared rooms is made of, by (room, instance).

    The rooms are built again from their seeds, without scanning, and objects are found by where they are.

    Args:
        raw: Folder of the raw rooms, whose settings have their seed.
        root: Prepared folder.
        entries: All rooms of some areas.

    Raises:
        UserError: Rooms that are turned, or of another generator: then nothing is where it was built.
    """
    settings = read_settings(raw)
    if settings.layout != "aligned" or settings.yaw:
        raise UserError(f"{raw}: these rooms are turned; make them with --layout aligned")
    found: dict[tuple[str, int], Made] = {}
    for split in dict.fromkeys(entry.split for entry in entries):
        own = {entry.name: entry for entry in entries if entry.split == split}
        for plan in plan_area(settings.seed, int(split.removeprefix("Area_")), len(own)):
            if plan.name not in own:
                raise UserError(f"{root}: {split} has no room {plan.name}; it was not made from {raw}")
            model = build_room(plan.build_seed, plan.room_type)
            scene = read_scene(root / own[plan.name].path)
            places = [(number, center + plan.offset, made) for number, center, made in _describe(model)]
            label, instance = np.asarray(scene.label), np.asarray(scene.instance)
            for name in KINDS:
                here = [(center, made) for number, center, made in places if model.labels[number] == name]
                for number in np.unique(instance[label == scene.schema.names.index(name)]).tolist():
                    pos = np.asarray(scene.pos)[instance == number]
                    middle = (pos.min(axis=0) + pos.max(axis=0)) / 2
                    away = [np.linalg.norm((center - middle)[:2]) for center, _ in here]
                    found[f"{split}/{plan.name}", number] = here[int(np.argmin(away))][1]
    return found


def _describe(model: RoomModel) -> list[tuple[int, np.ndarray, Made]]:
    """Number, middle and material of every thing that :data:`KINDS` knows."""
    corners = model.vertices[model.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    area_of = np.bincount(model.triangle_surface, weights=area, minlength=len(model.materials))

    def largest(number: int) -> int:
        surfaces = np.flatnonzero(model.surface_instance == number)
        return int(surfaces[area_of[surfaces].argmax()])

    wall = np.array(model.materials[largest(model.labels.index("wall"))].color)  # all walls are alike
    things = []
    for number, label in enumerate(model.labels):
        if label in KINDS:
            material = model.materials[largest(number)]
            kind = KINDS[label].get(material.texture.__name__, material.texture.__name__)
            alike = 255 * float(np.linalg.norm(np.array(material.color) - wall)) <= ALIKE
            own = corners[model.surface_instance[model.triangle_surface] == number].reshape(-1, 3)
            things.append((number, (own.min(axis=0) + own.max(axis=0)) / 2, Made(kind=kind, alike=alike)))
    return things
