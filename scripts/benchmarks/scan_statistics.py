"""Measure generated scans beside what was measured on real ones.

Spacing: median distance to the nearest neighbor. Noise: median deviation from the plane of flat patches of 10 cm.
Isolated: points whose nearest neighbor is farther than four spacings. Bare floor: cells of 10 cm inside the convex
outline of the scan without a point of the floor. Luminance noise: median deviation of the luminance in the same
patches. Bright: points with a luminance above 0.95. Ranges are the 10th and the 90th percentile over scans.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import Delaunay, cKDTree

from data_prep.buildings import choose, plan_scan, scan_columns
from data_prep.indoor.building import Choice
from data_prep.indoor.families import FAMILIES
from data_prep.indoor.sensors import SENSORS
from pcseg.data.indoor import COARSE, INDOOR
from pcseg.data.io.columns import Columns

EACH = 2
"""Scans per sensor."""

REAL = {
    "spacing [mm]": "6-102",
    "noise [mm]": "0.3 station mesh, 3.4-8.6 depth mesh, 2-9 handheld, 4 laser",
    "isolated [%]": "4-5 in raw scans",
    "bare floor [%]": "28 depth mesh, 41 office, 59-80 views",
    "luminance noise": ".06-.09",
    "bright [%]": "0.4-13",
    "ceiling luminance": ".35-.53",
    "blue / green": ".81-1.00",
    "saturation p90": "up to .72",
    "clutter [%]": "13-19",
    "windows from [m]": ".66",
    "windows to [m]": "2.82",
    "boards to [m]": "",
    "tables to [m]": "",
}
"""Values of real scans."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The range of one value over the scans of one sensor."""

    sensor: str
    value: str
    low: float
    middle: float
    high: float


def patches(pos: np.ndarray, rng: np.random.Generator, number: int = 150) -> list[np.ndarray]:
    """Return the indices of points in balls of 10 cm diameter that hold at least 8 points."""
    tree = cKDTree(pos)
    found = tree.query_ball_point(pos[rng.permutation(len(pos))[:number]], 0.05)
    return [np.array(rows) for rows in found if len(rows) >= 8]


def deviation(pos: np.ndarray) -> float:
    """Return the standard deviation from the best plane of a patch; NaN if it is not flat."""
    spread = np.linalg.svd(pos - pos.mean(axis=0), compute_uv=False) / np.sqrt(len(pos) - 3)
    return float(spread[2]) if spread[2] < 0.5 * spread[1] else np.nan


def measure(columns: Columns, rng: np.random.Generator) -> dict[str, float]:
    """Return all values of one scan; those that it cannot have are NaN."""
    pos = np.stack([columns[axis] for axis in "xyz"], axis=1).astype(np.float64)
    label = columns["indoor"]
    away = cKDTree(pos).query(pos, k=2)[0][:, 1]
    spacing = float(np.median(away))
    flat = patches(pos, rng)
    values = {
        "spacing [mm]": 1000 * spacing,
        "noise [mm]": 1000 * _quantile(np.array([deviation(pos[rows]) for rows in flat]), 0.5, least=10),
        "isolated [%]": 100 * float((away > 4 * spacing).mean()),
        "bare floor [%]": bare_floor(pos, label),
        "clutter [%]": 100 * float((columns["s3dis"] == 12).mean()),
    }
    values |= heights(pos[:, 2], label)
    if "red" in columns:
        color = np.stack([columns[name] for name in ("red", "green", "blue")], axis=1) / 255
        gray = color.mean(axis=1)
        values |= {
            "luminance noise": float(np.median([gray[rows].std() for rows in flat] or [np.nan])),
            "bright [%]": 100 * float((gray > 0.95).mean()),
            "ceiling luminance": _quantile(gray[label == INDOOR.names.index("ceiling")], 0.5),
            "blue / green": float(color[:, 2].mean() / color[:, 1].mean()),
            "saturation p90": float(np.quantile(1 - color.min(axis=1) / (color.max(axis=1) + 1e-6), 0.9)),
        }
    return values


def heights(z: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return the heights above the floor in meters at which objects begin and end."""
    floor = _quantile(z[label == INDOOR.names.index("floor")], 0.5)
    wanted = {"windows from [m]": (("window",), 0.02), "windows to [m]": (("window",), 0.98),
              "boards to [m]": (("board",), 0.98), "tables to [m]": (("table", "desk"), 0.95)}  # fmt: skip
    chosen = {key: [INDOOR.names.index(name) for name in names] for key, (names, _) in wanted.items()}
    return {
        key: _quantile(z[np.isin(label, chosen[key])], share) - floor for key, (_, share) in wanted.items()
    }


def bare_floor(pos: np.ndarray, label: np.ndarray) -> float:
    """Return the share in percent of the cells inside the convex outline of a scan that have no point of the floor."""
    outline = Delaunay(pos[label >= 0, :2])
    cells = np.unique(np.floor(pos[label == INDOOR.names.index("floor"), :2] / 0.1).astype(int), axis=0)
    low, high = np.floor(pos[label >= 0, :2].min(axis=0) / 0.1), pos[label >= 0, :2].max(axis=0) / 0.1
    every = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high))), axis=-1).reshape(-1, 2)
    inside = outline.find_simplex((every + 0.5) * 0.1) >= 0
    return 100 * max(0.0, 1 - len(cells) / inside.sum()) if len(cells) else np.nan


def _quantile(values: np.ndarray, share: float, *, least: int = 50) -> float:
    values = values[~np.isnan(values)]
    return float(np.quantile(values, share)) if len(values) > least else np.nan


def run() -> list[Row]:
    """Scan single rooms with every sensor and measure them."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for sensor in SENSORS:
        names = choose(only=[sensor], hold_out=["tilted", "no_color", "partial", "no_ceiling"])
        for index in range(EACH):
            plan = replace(plan_scan(7, "val", EACH * len(found) + index, names), size=(1, 1))
            choice = Choice(rooms=tuple(FAMILIES), furniture=names["furniture"], materials=names["materials"])
            start = time.process_time()
            columns = scan_columns(plan, choice=choice, points=200_000)
            found[sensor, "CPU seconds"].append(time.process_time() - start)
            for value, number in measure(columns, np.random.default_rng(index)).items():
                found[sensor, value].append(number)
            shares = Counter(columns["coarse"].tolist())
            for k, name in enumerate(COARSE.names):
                found[sensor, f"{name} [% of points]"].append(100 * shares[k] / len(columns["x"]))
    rows = []
    for (sensor, value), numbers in found.items():
        if not np.isnan(numbers).all():
            low, middle, high = np.nanquantile(numbers, [0.1, 0.5, 0.9])
            rows.append(Row(sensor=sensor, value=value, low=low, middle=middle, high=high))
    return rows


def as_markdown(rows: Sequence[Row]) -> str:
    """Return a table of values by sensor, the real ones beside them."""
    sensors = list(dict.fromkeys(row.sensor for row in rows))
    cells = {(row.sensor, row.value): f"{row.low:.3g}-{row.high:.3g}" for row in rows}
    lines = [f"| value | real | {' | '.join(sensors)} |", "|---|---|" + "---|" * len(sensors)]
    for value in dict.fromkeys(row.value for row in rows):
        generated = " | ".join(cells.get((sensor, value), "") for sensor in sensors)
        lines.append(f"| {value} | {REAL.get(value, '')} | {generated} |")
    return "\n".join(lines) + "\n"
