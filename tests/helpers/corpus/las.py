"""LAS and LAZ files, written by laspy: all dimensions, extra bytes, and the unit of the CRS."""

import io
import struct
from collections.abc import Mapping

import laspy
import numpy as np
from helpers.corpus.rows import Row
from laspy.vlrs.known import WktCoordinateSystemVlr
from numpy.typing import ArrayLike

POS = np.array([[0.5, 1.5, 2.5], [-1, 2, 3], [4, 5, 6.25]])
COLOR = np.array([[255, 0, 10], [20, 30, 40], [7, 8, 200]])
GEOGRAPHIC = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],UNIT["degree",0.0174532925]]'
)
DIMENSIONS: dict[str, ArrayLike] = {
    "intensity": [1, 2, 65535],
    "return_number": [1, 2, 3],
    "number_of_returns": [3, 4, 5],
    "scan_direction_flag": [0, 1, 0],
    "edge_of_flight_line": [1, 0, 0],
    "classification": [2, 6, 31],
    "synthetic": [0, 0, 1],
    "key_point": [0, 1, 0],
    "withheld": [1, 0, 0],
    "user_data": [0, 7, 255],
    "point_source_id": [9, 300, 65535],
}
TIME: dict[str, ArrayLike] = {"gps_time": [1.25, 1e9 + 0.5, -3]}


def las(
    kind: int,
    dimensions: Mapping[str, ArrayLike] | None = None,
    *,
    extra: Mapping[str, tuple[str, ArrayLike, tuple[float, float] | None]] | None = None,
    vlrs: tuple[laspy.VLR, ...] = (),
    late_vlrs: tuple[laspy.VLR, ...] = (),
    pos: np.ndarray = POS,
    scale: float = 0.001,
    compressed: bool = False,
) -> bytes:
    """A LAS file.

    Args:
        kind: Point format.
        dimensions: Values of dimensions.
        extra: Type, values, and scale and offset of extra bytes.
        vlrs: Records before the points.
        late_vlrs: Records after the points.
        pos: Positions.
        scale: Step of the positions.
        compressed: Write LAZ.
    """
    header = laspy.LasHeader(point_format=kind, version="1.4")
    header.scales, header.offsets = [scale] * 3, np.floor(pos[0])
    for name, (dtype, _, scaling) in (extra or {}).items():
        count = int(dtype[0]) if dtype[0].isdigit() else 1
        scales, offsets = (None, None) if scaling is None else ([scaling[0]] * count, [scaling[1]] * count)
        header.add_extra_dim(laspy.ExtraBytesParams(name, dtype, scales=scales, offsets=offsets))
    header.vlrs.extend(vlrs)
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = pos.T
    for name, values in {
        **(dimensions or {}),
        **{name: values for name, (_, values, _) in (extra or {}).items()},
    }.items():
        cloud[name] = np.asarray(values)
    if "red" in cloud.point_format.dimension_names:
        cloud.red, cloud.green, cloud.blue = COLOR.T.astype(np.uint16) * 257
    if late_vlrs:
        cloud.evlrs = laspy.vlrs.vlrlist.VLRList(late_vlrs)
    stream = io.BytesIO()
    cloud.write(stream, do_compress=compressed)
    return stream.getvalue()


def geo_keys(keys: Mapping[int, int], citation: str = "") -> tuple[laspy.VLR, ...]:
    """Records of GeoTIFF keys."""
    rows = [
        struct.pack("<4H", 1, 1, 0, len(keys)),
        *(struct.pack("<4H", key, 0, 1, v) for key, v in keys.items()),
    ]
    records = (laspy.VLR("LASF_Projection", 34735, "GeoKeys", b"".join(rows)),)
    return (
        records
        if not citation
        else (*records, laspy.VLR("LASF_Projection", 34737, "", citation.encode("latin-1")))
    )


def projected(unit: str, factor: str) -> str:
    return f'PROJCS["a, b (c)",{GEOGRAPHIC},PROJECTION["T"],PARAMETER["false_easting",500000],UNIT["{unit}",{factor}]]'


def crs(text: str) -> tuple[laspy.VLR, ...]:
    return (WktCoordinateSystemVlr(text),)


def dimensions_rows() -> list[Row]:
    """Point formats with all of their dimensions, and extra bytes of all kinds."""
    modern = (
        DIMENSIONS | TIME | {"overlap": [1, 0, 1], "scanner_channel": [0, 3, 2], "scan_angle": [-30000, 0, 7]}
    )
    by_kind = {
        0: DIMENSIONS | {"scan_angle_rank": [-90, 0, 90]},
        1: DIMENSIONS | TIME,
        3: DIMENSIONS | TIME,
        6: modern | {"classification": [2, 6, 255]},
        8: modern | {"nir": [0, 1, 65535]},
    }
    rows = [
        Row(id=f"format {kind}, {suffix}", file=f"a.{suffix}", content=las(kind, values, compressed=suffix == "laz"),
            pos=POS, color=COLOR if kind in (3, 8) else None, columns=values)
        for kind, values in by_kind.items() for suffix in ("las", "laz")[: 1 + (kind in (3, 8))]
    ]  # fmt: skip
    label = ("f4", [2, 0, 1], None)
    extras: dict[str, tuple[dict, dict]] = {
        "label beside zeros": ({"label": label}, {"label": [2, 0, 1], "classification": [0, 0, 0]}),
        "name with capitals": ({"Label": label}, {"label": [2, 0, 1]}),
        "name of CloudCompare": ({"scalar_Label": label}, {"label": [2, 0, 1]}),
        "name with blanks": ({"my class": ("u1", [2, 0, 1], None)}, {"my class": [2, 0, 1]}),
        "scaled": ({"height": ("i2", [1.5, -2, 0], (0.25, 10.0))}, {"height": [1.5, -2, 0]}),
        "arrays": (
            {"code": ("3u1", [[1, 2, 3], [4, 5, 6], [7, 8, 9]], None),
             "s": ("2i4", [[1.5, 2], [0, 1], [2, 3]], (0.5, 0.0))},
            {"code.0": [1, 4, 7], "code.2": [3, 6, 9], "s.0": [1.5, 0, 2], "s.1": [2, 1, 3]},
        ),
        "wide types": ({"a": ("u8", [1, 2, 2**63], None), "b": ("i8", [-1, 0, 1], None),
                        "c": ("f8", [0.1, 1, 1e300], None)},
                       {"a": [1, 2, 2**63], "b": [-1, 0, 1], "c": [0.1, 1, 1e300]}),
    }  # fmt: skip
    rows += [
        Row(id=f"extra bytes: {name}, {suffix}", file=f"a.{suffix}", pos=POS, color=COLOR, columns=columns,
            content=las(7, extra=extra, compressed=suffix == "laz"))
        for name, (extra, columns) in extras.items() for suffix in ("las", "laz")[: 1 + (name == "arrays")]
    ]  # fmt: skip
    unregistered = las(7, extra={"label": ("u1", [2, 0, 1], None)}).replace(b"LASF_Spec", b"other\0\0\0\0")
    rows.append(Row(id="extra bytes without a description", file="a.las", content=unregistered, pos=POS, color=COLOR,
                    columns={"extrabytes": [2, 0, 1]}))  # fmt: skip
    return rows


def unit_rows() -> list[Row]:
    """The unit of the CRS in every notation."""
    compound = 'COMPD_CS["x",{},VERT_CS["h",VERT_DATUM["d",2005],UNIT["{}",{}],AXIS["Up",UP]]]'
    us_foot, meter = projected("US survey foot", "0.304800609601219"), projected("metre", "1")
    axes = 'AXIS["e",east,LENGTHUNIT["foot",0.3048]],AXIS["n",north,LENGTHUNIT["foot",0.3048]]'
    base = 'BASEGEOGCRS["w",DATUM["d",ELLIPSOID["e",6378137,298.2,LENGTHUNIT["metre",1]]]]'
    method = 'CONVERSION["c",METHOD["m"],PARAMETER["False easting",0,LENGTHUNIT["metre",1]]]'
    modern = f'PROJCRS["p",{base},{method},CS[Cartesian,2],{axes}]'
    height = 'VERTCRS["v",VDATUM["d"],CS[vertical,1],AXIS["up",up],LENGTHUNIT["foot",0.3048]]'
    esri = ("Foot_US", "0.3048006096012192")
    texts = {
        "meters": (meter, "m"),
        "US survey feet": (us_foot, "ft-us"),
        "feet, heights in feet": (compound.format(projected("foot", "0.3048"), "foot", "0.3048"), "ft"),
        "ESRI": (f'{projected(*esri)},VERTCS["N",VDATUM["N"],UNIT["{esri[0]}",{esri[1]}]]', "ft-us"),
        "version 2": (modern, "ft"),
        "version 2, compound": (f'COMPOUNDCRS["c",{modern},{height}]', "ft"),
        "bound": (f'BOUNDCRS[SOURCECRS[{modern}],TARGETCRS[{base}]]', "ft"),
        "local, in millimeters": ('LOCAL_CS["plant",UNIT["millimetre",0.001]]', "mm"),
        "brackets": (meter.replace("[", "(").replace("]", ")"), "m"),
    }  # fmt: skip
    rows = [Row(id=f"WKT: {name}", file="a.las", content=las(6, vlrs=crs(text)), pos=POS, unit=unit)
            for name, (text, unit) in texts.items()]  # fmt: skip
    keys = {
        "meters": ({1024: 1, 3072: 32632, 3076: 9001}, "", "m"),
        "feet": ({1024: 1, 3072: 32767, 3076: 9002}, "", "ft"),
        "US survey feet": ({1024: 1, 3072: 2263, 3076: 9003, 4099: 9003}, "", "ft-us"),
        "UTM": ({1024: 1, 3072: 32733}, "", "m"),
        "name": ({1024: 1, 3072: 2263}, "NAD83 / New York Long Island (ftUS)|", "ft-us"),
        "name with an umlaut": ({1024: 1, 3072: 32767}, "Köln, UTM zone 32N|", "m"),
    }
    rows += [Row(id=f"GeoTIFF: {name}", file="a.las", content=las(1, vlrs=geo_keys(given, text)), pos=POS, unit=unit)
             for name, (given, text, unit) in keys.items()]  # fmt: skip
    degrees = np.array([[8.68, 50.11, 100], [8.6801, 50.1102, 101], [8.6802, 50.1101, 103]])
    refusal, remark = "Reproject the file to meters", "but the coordinates are not"
    return [
        *rows,
        Row(id="WKT after the points", file="a.las", content=las(6, late_vlrs=crs(us_foot)), pos=POS, unit="ft-us"),
        Row(id="WKT in LAZ", file="a.laz", content=las(6, vlrs=crs(us_foot), compressed=True), pos=POS, unit="ft-us"),
        Row(id="damaged WKT", file="a.las", content=las(6, vlrs=crs(us_foot[:-30] + "]]]]]")), pos=POS),
        Row(id="heights in meters", file="a.las", content=las(6, vlrs=crs(compound.format(us_foot, "metre", "1"))),
            pos=POS, unit="ft-us", remarks=("x and y in ft-us, but heights in m",)),
        Row(id="unknown unit", file="a.las", content=las(6, vlrs=crs(projected("link", "0.201168"))), pos=POS,
            remarks=("does not state its unit",)),
        Row(id="geocentric", file="a.las", content=las(6, vlrs=crs('GEOCCS["g",DATUM["d"],UNIT["metre",1]]')), pos=POS,
            unit="m", remarks=("no axis points up",)),
        Row(id="degrees", file="a.las", content=las(6, vlrs=crs(GEOGRAPHIC), pos=degrees, scale=1e-7), refusal=refusal),
        Row(id="degrees, GeoTIFF", file="a.laz", refusal=refusal,
            content=las(1, vlrs=geo_keys({1024: 2, 2048: 4326}), pos=degrees, scale=1e-7, compressed=True)),
        Row(id="a room that claims degrees", file="a.las", content=las(6, vlrs=crs(GEOGRAPHIC)), pos=POS,
            remarks=(remark,)),
    ]  # fmt: skip


ROWS = [*dimensions_rows(), *unit_rows()]
