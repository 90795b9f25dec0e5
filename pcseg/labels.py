"""Label schemas: class names, their order and colors."""

import colorsys
import json
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pcseg.errors import UserError

IGNORE_INDEX = -1
"""Label of unlabeled points everywhere in code; other values are mapped when a file is read."""

MAX_CLASSES = 2**15
"""Labels are stored with 16 bits."""

Palette = Literal["canonical", "colorblind"]
"""Colors of the data set, or colors that color-blind readers can distinguish."""

UNLABELED = (150, 115, 85)
"""Color of points without a class: a brown that no class of S3DIS comes near."""

# Paul Tol's "muted" scheme, distinct for the common kinds of color blindness
_MUTED = ((51, 34, 136), (136, 204, 238), (68, 170, 153), (17, 119, 51), (153, 153, 51), (221, 204, 119),
          (204, 102, 119), (136, 34, 85), (170, 68, 153))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LabelSchema:
    """Names, order and colors of the classes of a data set.

    Args:
        name: Short name for messages.
        names: Class names; the position of a name is its label.
        colors: One ``(r, g, b)`` in 0..255 per class.

    Raises:
        UserError: Names are not unique, or there are not as many colors as names.

    Convention:
        Labels are 0..K-1 in the order of ``names``. Unlabeled points have :data:`IGNORE_INDEX`.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        wrong = [name for name in self.names if not name.strip() or not name.isprintable()]
        if wrong:
            raise UserError(
                f"label schema {self.name!r}: class name {wrong[0][:40]!r} is empty or has several lines. Rename it."
            )
        if len(self.names) > MAX_CLASSES:
            raise UserError(
                f"label schema {self.name!r}: {len(self.names)} classes. Use at most {MAX_CLASSES}."
            )
        if len(set(self.names)) != len(self.names):
            raise UserError(
                f"label schema {self.name!r}: class names are not unique ({list(self.names)}). Rename or merge classes."
            )
        if len(self.colors) != len(self.names):
            raise UserError(
                f"label schema {self.name!r}: {len(self.names)} class names but {len(self.colors)} colors. "
                "Give one color per class."
            )

    @property
    def num_classes(self) -> int:
        return len(self.names)

    def to_json(self) -> str:
        """Return the schema as one line of JSON, as stored in scenes, checkpoints and predictions."""
        return json.dumps({"name": self.name, "names": self.names, "colors": self.colors})

    @classmethod
    def from_json(cls, text: str, *, source: str = "label schema") -> "LabelSchema":
        """Read the text of :meth:`to_json`; ``source`` names the file in errors."""
        try:
            fields = json.loads(text)
            colors = tuple((int(r), int(g), int(b)) for r, g, b in fields["colors"])
            if not all(0 <= value <= 255 for color in colors for value in color):
                raise ValueError("colors are not in 0..255")
            if not all(isinstance(name, str) for name in fields["names"]):
                raise ValueError("names are not strings")
            return cls(name=str(fields["name"]), names=tuple(fields["names"]), colors=colors)
        except UserError as error:
            raise UserError(f"{source}: {error}") from error
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UserError(f"{source}: not a label schema ({error}). Prepare the data again.") from error

    def require_same(self, other: "LabelSchema", *, this: str, that: str) -> None:
        """Raise :class:`UserError` unless both schemas have the same class names in the same order."""
        if self.names != other.names:
            raise UserError(
                f"label schemas differ: {this} has {list(self.names)}, {that} has {list(other.names)}. "
                "Use data and a checkpoint with the same classes."
            )


S3DIS = LabelSchema(
    name="s3dis",
    names=(
        "ceiling", "floor", "wall", "beam", "column", "window", "door",
        "table", "chair", "sofa", "bookcase", "board", "clutter",
    ),
    colors=(
        (0, 255, 0), (0, 0, 255), (0, 255, 255), (255, 255, 0), (255, 0, 255), (100, 100, 255),
        (200, 200, 100), (170, 120, 200), (255, 0, 0), (200, 100, 100), (10, 200, 100), (200, 200, 200), (50, 50, 50),
    ),
)  # fmt: skip
"""S3DIS in the canonical order and colors (PointNet)."""


def is_file_name(text: str) -> bool:
    """Return whether a text names a file in a folder, and nothing outside of it."""
    return text not in ("", ".", "..") and "/" not in text and "\\" not in text and text.isprintable()


def class_colors(schema: LabelSchema, palette: Palette = "canonical") -> np.ndarray:
    """Return the color of every class, and of unlabeled points in the last row (index -1), ``(K + 1, 3)`` uint8.

    The palette ``colorblind`` has nine colors. Classes 10 to 18 get the same colors lighter, classes 19 to 27
    darker. Further classes, as in ADE20K and ScanNet200, get paler colors of many lightnesses. All colors differ,
    but more than 27 of them cannot be distinguished by eye.
    """
    colors = list(schema.colors)
    if palette == "colorblind":
        colors = [_shifted(_MUTED[i % len(_MUTED)], i // len(_MUTED)) for i in range(schema.num_classes)]
    return np.array([*colors, UNLABELED], dtype=np.uint8)


def distinct_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return colors of classes that have none: distinct hues, by the golden ratio."""
    hues = [(0.618034 * i) % 1 for i in range(count)]
    colors = [
        colorsys.hsv_to_rgb(hue, 0.55 + 0.4 * (i % 2), 0.95 - 0.3 * (i % 3) / 2) for i, hue in enumerate(hues)
    ]
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in colors)


def _shifted(color: tuple[int, int, int], rounds: int) -> tuple[int, ...]:
    """Return the color lighter after one round, darker after two, then paler with lightnesses spread evenly."""
    hue, light, saturation = colorsys.rgb_to_hls(*(value / 255 for value in color))
    if rounds < 3:
        light += (0, 0.25, -0.15)[rounds]
    else:
        light, saturation = 0.1 + 0.8 * (rounds * 0.6180339887 % 1), 0.7 * saturation
    return tuple(round(255 * v) for v in colorsys.hls_to_rgb(hue, min(max(light, 0.08), 0.92), saturation))
