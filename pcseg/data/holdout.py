"""Validation items held out from the training splits."""

import hashlib
from collections.abc import Mapping


def hold_out(scenes: Mapping[str, str], fraction: float) -> set[str]:
    """Choose a share of the scenes of every split by the hash of their names.

    At least one scene of every split is chosen and at least one is not, so none of a split with a single scene. If
    all splits have a single scene, they are treated as one split. With ``fraction`` 0 no scene is chosen.

    Args:
        scenes: Physical space of each scene; both as ``<split>/<name>``. All scenes of a space, such
            as repeated scans of one room, are chosen together.
        fraction: Share of the scenes.
    """
    splits = sorted({scene.split("/")[0] for scene in scenes})
    chosen: set[str] = set()
    for split in splits:
        chosen |= _share({s: space for s, space in scenes.items() if s.split("/")[0] == split}, fraction)
    return chosen or _share(scenes, fraction)


def _share(scenes: Mapping[str, str], fraction: float) -> set[str]:
    number = 0 if fraction == 0 else min(max(round(fraction * len(scenes)), 1), len(scenes) - 1)
    by_space: dict[str, list[str]] = {}
    for scene, space in scenes.items():
        by_space.setdefault(space, []).append(scene)
    chosen: set[str] = set()
    for space in sorted(by_space, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if len(chosen) < number and len(chosen) + len(by_space[space]) < len(scenes):
            chosen.update(by_space[space])
    return chosen
