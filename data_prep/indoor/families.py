"""Rooms by name, each described by its size and its furniture."""

from collections.abc import Mapping
from dataclasses import dataclass

from data_prep.indoor import fittings as fit
from data_prep.indoor import furniture as fur
from data_prep.indoor.furnishing import Piece


@dataclass(frozen=True, kw_only=True)
class Family:
    """Rooms of one use.

    Args:
        short, long: Limits in meters of the shorter and the longer side.
        pieces: Furniture, in the order in which it is put.
        windows: Share of rooms with windows.
        tiled: Share of rooms with tiles on walls and floor.
        high: Limits of the height in meters.
    """

    short: tuple[float, float]
    long: tuple[float, float]
    pieces: tuple[Piece, ...]
    windows: float = 0.9
    tiled: float = 0.0
    high: tuple[float, float] = (2.35, 3.1)


_WALLS = (
    Piece(make=fit.picture, count=(0, 3), where="hung"),
    Piece(make=fit.HANGING[2], count=(0, 1), where="hung", height=(1.9, 2.0)),
)
_LOOSE = tuple(Piece(make=make, count=(0, 2), front=0.1) for make in fit.ON_FLOOR)
_PEOPLE = Piece(make=fit.person, count=(-6, 2), where="free", front=0.05)
_PENDANT = Piece(make=fit.pendant, count=(0, 1), where="ceiling")
_BOARD = Piece(make=fit.board, where="hung", height=(0.75, 1.0))
_WORK = Piece(
    make=fur.desk,
    area=7,
    front=0.7,
    on_top=((fit.monitor, *fit.ON_DESK), 4),
    near=(fur.office_chair, "front"),
)
_CASES = (
    Piece(make=fur.bookshelf, count=(1, 3), on_top=(fit.ON_SHELF, 2)),
    Piece(make=fur.cabinet, count=(1, 2), on_top=(fit.ON_SHELF, 3)),
)
_SEATS = Piece(make=fur.chair, count=(0, 3), front=0.1)
_TABLE = Piece(
    make=fur.dining_table, where="free", front=0.6, on_top=(fit.ON_DESK, 3), near=(fur.chair, "around")
)

FAMILIES: Mapping[str, Family] = {
    "office": Family(
        short=(2.7, 4.4), long=(3.4, 6.0), pieces=(_BOARD, _WORK, _SEATS, *_CASES, *_WALLS, *_LOOSE, _PEOPLE)
    ),
    "meeting_room": Family(
        short=(3.6, 5.0),
        long=(4.6, 7.5),
        pieces=(
            _BOARD,
            Piece(make=fur.meeting_table, where="free", front=0.9, on_top=(fit.ON_DESK, 5),
                  near=(fur.office_chair, "around")),
            Piece(make=fit.television, count=(0, 1), where="hung"),
            _SEATS, *_CASES, *_WALLS, *_LOOSE, _PENDANT, _PEOPLE,
        ),
    ),
    "classroom": Family(
        short=(5.0, 7.0),
        long=(6.5, 9.0),
        pieces=(
            _BOARD, _BOARD,
            Piece(make=fur.desk, area=6, where="free", front=0.45, near=(fur.chair, "front")),
            *_CASES, *_WALLS, *_LOOSE, _PEOPLE,
        ),
        high=(2.7, 3.4),
    ),
    "bedroom": Family(
        short=(2.6, 4.0),
        long=(3.2, 5.0),
        pieces=(
            Piece(make=fur.bed, front=0.5, near=(fur.nightstand, "beside")),
            Piece(make=fur.wardrobe, count=(1, 2), front=0.6),
            Piece(make=fur.dresser, count=(0, 2), on_top=(fit.ON_SHELF, 3)),
            Piece(make=fur.desk, count=(0, 1), on_top=(fit.ON_DESK, 3), near=(fur.chair, "front")),
            Piece(make=fur.armchair, count=(0, 1)),
            Piece(make=fit.mirror, count=(0, 1), where="hung", height=(0.3, 1.0)),
            *_WALLS, *_LOOSE, _PENDANT, Piece(make=fur.floor_lamp, count=(0, 1), front=0.05),
        ),
    ),
    "living_room": Family(
        short=(3.2, 5.0),
        long=(4.2, 7.0),
        pieces=(
            Piece(make=fur.sofa, count=(1, 2), front=1.0, near=(fur.coffee_table, "front")),
            Piece(make=fur.armchair, count=(0, 2), front=0.5),
            Piece(make=fur.cabinet, count=(1, 2), on_top=((*fit.ON_SHELF, fit.plant), 3)),
            Piece(make=fit.television, count=(0, 1), where="hung", height=(0.8, 1.2)),
            Piece(make=fur.bookshelf, count=(0, 3)),
            Piece(make=fur.ottoman, count=(0, 1), where="free", front=0.2),
            _TABLE, _SEATS, *_WALLS, *_LOOSE, _PENDANT, _PEOPLE, Piece(make=fur.floor_lamp, count=(0, 2), front=0.05),
        ),
    ),
    "kitchen": Family(
        short=(2.2, 3.8),
        long=(2.8, 5.0),
        pieces=(
            Piece(make=fit.kitchen_row, count=(1, 2), front=0.8, on_top=(fit.ON_WORKTOP, 5)),
            Piece(make=fit.fridge, front=0.6),
            Piece(make=fit.tall_unit, count=(0, 2), front=0.5),
            Piece(make=fit.washing_machine, count=(0, 1), on_top=(fit.ON_SHELF, 2)),
            _TABLE, Piece(make=fur.stool, count=(0, 2), where="free", front=0.1),
            *_WALLS, *_LOOSE[:3], _PENDANT, _PEOPLE,
        ),
        tiled=0.3,
    ),
    "bathroom": Family(
        short=(1.6, 2.8),
        long=(2.2, 3.6),
        pieces=(
            Piece(make=fit.bathtub, count=(0, 1), front=0.4),
            Piece(make=fit.toilet, front=0.5),
            Piece(make=fit.washbasin, count=(1, 2), front=0.6),
            Piece(make=fit.shower, count=(0, 1), front=0.4),
            Piece(make=fit.washing_machine, count=(0, 1)),
            Piece(make=fit.mirror, where="hung", height=(1.0, 1.2)),
            Piece(make=fur.cabinet, count=(0, 1)), _LOOSE[0],
        ),
        windows=0.5,
        tiled=0.8,
    ),
    "workshop": Family(
        short=(4.0, 6.5),
        long=(5.5, 9.0),
        pieces=(
            Piece(make=fit.workbench, count=(1, 3), front=0.7, on_top=((fit.carton, *fit.ON_DESK), 4)),
            Piece(make=fit.machine, count=(2, 5), front=0.6),
            Piece(make=fit.machine, count=(0, 2), where="free", front=0.6),
            Piece(make=fur.rack, count=(1, 4)), Piece(make=fur.cabinet, count=(0, 2)),
            Piece(make=fur.stool, count=(0, 3), where="free", front=0.1),
            Piece(make=fit.carton, count=(1, 5), front=0.1), *_WALLS, *_LOOSE, _PEOPLE,
        ),
        high=(2.8, 4.2),
    ),
    "shop": Family(
        short=(4.5, 7.0),
        long=(6.0, 9.5),
        pieces=(
            Piece(make=fit.counter, where="free", front=0.7),
            Piece(make=fit.gondola, area=14, where="free", front=0.6),
            Piece(make=fur.rack, count=(1, 4)), Piece(make=fit.fridge, count=(0, 2)),
            Piece(make=fit.vending_machine, count=(0, 1)),
            Piece(make=fit.carton, count=(0, 5), front=0.1), *_WALLS, *_LOOSE, _PEOPLE,
        ),
        high=(2.7, 3.8),
    ),
    "corridor": Family(
        short=(1.3, 2.4),
        long=(5.0, 10.0),
        pieces=(
            Piece(make=fur.cabinet, count=(0, 2), front=0.6), Piece(make=fur.bench, count=(0, 1), front=0.6),
            Piece(make=fit.board, count=(0, 1), where="hung", height=(0.8, 1.1)),
            Piece(make=fit.copier, count=(0, 1), front=0.6), *_WALLS, *_LOOSE,
        ),
        windows=0.3,
    ),
    "storage": Family(
        short=(1.8, 3.2),
        long=(2.4, 4.6),
        pieces=(
            Piece(make=fur.rack, count=(2, 5)), Piece(make=fur.wardrobe, count=(0, 1)),
            Piece(make=fit.carton, count=(2, 6), front=0.1), *_LOOSE,
        ),
        windows=0.2,
    ),
    "stairs": Family(
        short=(2.3, 2.8),
        long=(4.6, 6.0),
        pieces=(Piece(make=fit.plant, count=(0, 1), front=0.1), *_WALLS),
        windows=0.5,
    ),
}  # fmt: skip
"""Room families that can be held out by name."""
