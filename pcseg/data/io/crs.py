"""The units of the coordinate reference system (CRS) that a LAS file states, as WKT or as GeoTIFF keys.

pyproj is not used: of its 30 MB, only the units are needed.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Any

import numpy as np

from pcseg.data.unit import METERS

_KINDS = {
    "projected": ("PROJCS", "PROJCRS", "PROJECTEDCRS", "LOCAL_CS", "ENGCRS", "ENGINEERINGCRS"),
    "geographic": ("GEOGCS", "GEOGCRS", "GEOGRAPHICCRS", "GEODCRS", "GEODETICCRS"),
    "geocentric": ("GEOCCS",),
    "vertical": ("VERT_CS", "VERTCS", "VERTCRS", "VERTICALCRS"),
}
"""Keywords by kind of CRS, of both versions of WKT and of the dialect of ESRI."""

_COMPOUND = ("COMPD_CS", "COMPOUNDCRS", "BOUNDCRS", "SOURCECRS")
_CODES = {9001: "m", 9002: "ft", 9003: "ft-us", 1033: "cm", 1025: "mm"}
"""EPSG codes of units."""

_MODEL, _GEOGRAPHIC, _PROJECTED = 1024, 2048, 3072
_LINEAR_UNIT, _LINEAR_SIZE, _VERTICAL_UNIT = 3076, 3077, 4099
"""GeoTIFF keys."""

Node = list[Any]
"""A keyword of WKT and its content."""


@dataclass(frozen=True, kw_only=True)
class CrsUnits:
    """The units of x and y and of z in a CRS, ``None`` where they are not stated or unknown.

    ``kind`` is ``projected``, ``geographic`` (degrees) or ``geocentric`` (axes through the center of the Earth).
    """

    kind: str
    horizontal: str | None = None
    vertical: str | None = None


def read_crs(data: bytes | mmap) -> CrsUnits | None:
    """Return the units of the CRS of a LAS file, or ``None`` if it states no CRS or an unreadable one."""
    records = _projection_records(data)
    try:
        return _from_wkt(records.get(2112, b"")) or _from_geo_keys(records)
    except (IndexError, ValueError, RecursionError):  # damaged metadata must not cost the points
        return None


def _projection_records(data: bytes | mmap) -> dict[int, bytes]:
    """Return the records with a CRS by number, from before the points and, in LAS 1.4, from behind them."""
    header_size, _, count = struct.unpack_from("<HII", data, 94)
    parts = [(header_size, count, 54, "<H")]
    if data[25] >= 4 and header_size >= 375:
        parts.append((*struct.unpack_from("<QI", data, 235), 60, "<Q"))
    records = {}
    for start, number, size, length_type in parts:
        for _ in range(number):
            if start + size > len(data):
                break
            (code,), (length,) = (
                struct.unpack_from(t, data, start + at) for t, at in (("<H", 18), (length_type, 20))
            )
            if data[start + 2 : start + 18].split(b"\0")[0] == b"LASF_Projection":
                records[code] = data[start + size : start + size + length]
            start += size + length
    return records


def _from_geo_keys(records: dict[int, bytes]) -> CrsUnits | None:
    """Return the units that GeoTIFF keys state."""
    directory = records.get(34735, b"")
    rows = np.frombuffer(directory[: len(directory) // 8 * 8], "<u2").reshape(-1, 4)[1:].tolist()
    keys = {key: value for key, _, _, value in rows}
    given = {1: "projected", 2: "geographic", 3: "geocentric"}.get(keys.get(_MODEL, 0))
    kind = given or ("projected" if _PROJECTED in keys else "geographic" if _GEOGRAPHIC in keys else None)
    if kind is None:
        return None
    horizontal = _CODES.get(keys.get(_LINEAR_UNIT, 0))
    if _LINEAR_SIZE in keys and not horizontal:
        (size,) = struct.unpack_from("<d", records.get(34736, bytes(8)), 8 * keys[_LINEAR_SIZE])
        horizontal = _unit_of_size(size)
    elif _LINEAR_UNIT not in keys:
        citation = records.get(34737, b"").decode("latin-1")
        horizontal = _unit_in_name(citation, keys.get(_PROJECTED, 0))
    return CrsUnits(kind=kind, horizontal=horizontal, vertical=_CODES.get(keys.get(_VERTICAL_UNIT, 0)))


def _unit_in_name(name: str, code: int) -> str | None:
    """Return the unit that the name of a CRS, or the EPSG code of a UTM zone, implies."""
    for unit, pattern in {"ft-us": r"ft_?us|us[ _-]?f(oo|ee)?t|survey", "ft": r"\b(ft|foot|feet)\b"}.items():
        if re.search(pattern, name, re.IGNORECASE):
            return unit
    is_utm = code // 100 in (326, 327) or 25828 <= code <= 25838 or 26901 <= code <= 26923
    return "m" if is_utm or re.search(r"\b(utm|met(er|re)s?)\b", name, re.IGNORECASE) else None


def _unit_of_size(meters: float) -> str | None:
    return next((name for name, size in METERS.items() if abs(meters / size - 1) < 1e-7), None)


def _from_wkt(text: bytes) -> CrsUnits | None:
    """Return the units that well-known text (WKT) states."""
    found: dict[str, str | None] = {}
    for kind, unit in _find_units(_parse_wkt(text.decode("utf-8", errors="replace").strip("\0 \r\n"))):
        found.setdefault(kind, unit)
    vertical = found.pop("vertical", None)
    return next(
        (CrsUnits(kind=kind, horizontal=unit, vertical=vertical) for kind, unit in found.items()), None
    )


def _parse_wkt(text: str) -> Node:
    """Return the nested nodes of WKT."""
    root: Node = []
    path = [root]
    for quoted, word, mark in re.findall(r'"((?:[^"]|"")*)"|([^\[\](),\s"]+)|([\[\]()])', text):
        if mark in ("[", "("):
            node: Node = [path[-1].pop()]
            path[-1].append(node)
            path.append(node)
        elif mark:
            path.pop()
        else:
            path[-1].append(word or quoted)
    return root


def _find_units(nodes: Node) -> Iterator[tuple[str, str | None]]:
    """Yield the kind and the unit of each CRS among nodes and inside compound ones."""
    for node in nodes:
        if isinstance(node, str):
            continue
        keyword = str(node[0]).upper()
        kind = next((kind for kind, keywords in _KINDS.items() if keyword in keywords), None)
        if kind == "geographic" and any(str(part).lower().startswith("['cs', 'cartesian'") for part in node):
            kind = "geocentric"
        if kind:
            yield kind, _unit_of(node)
        elif keyword in _COMPOUND:
            yield from _find_units(node)


def _unit_of(crs: Node) -> str | None:
    """Return the unit of length among the direct content of a CRS or of its axes."""
    axes = [part for part in crs if isinstance(part, list) and str(part[0]).upper() == "AXIS"]
    for node in (crs, *axes):
        for part in node:
            if isinstance(part, list) and str(part[0]).upper() in ("UNIT", "LENGTHUNIT"):
                return _unit_of_size(float(str(part[2])))
    return None
