"""What pandas, NumPy and h5py write is read with the same values, whatever the separators, orders, types and names."""

import csv
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcseg.data.io.clouds import from_table, read_table
from pcseg.errors import UserError

EXAMPLES = settings(max_examples=80, derandomize=True, deadline=None, database=None)
COORDINATES = (
    ("x", "y", "z"),
    ("X", "Y", "Z"),
    ("X [m]", "Y [m]", "Z [m]"),
    ("Easting", "Northing", "Elevation"),
)
COLORS = (("red", "green", "blue"), ("R", "G", "B"), ("Rf", "Gf", "Bf"))
WORDS = ("wall", "office chair", "a,b", "a;b", 'the "best"', "tür", "12 m")
OTHERS = (
    "label",
    "Point ID",
    "scalar_Intensity",
    "Illuminance (PCV)",
    "höhe über null",
    "",
    "a,b",
    "time[s]",
)


def numbers(size: int) -> st.SearchStrategy[np.ndarray]:
    """Floats of any magnitude, some of them missing, or integers."""
    floats = st.lists(st.floats(-1e7, 1e7) | st.just(float("nan")), min_size=size, max_size=size).map(
        np.array
    )
    integers = st.lists(st.integers(-1000, 70000), min_size=size, max_size=size).map(np.array)
    return floats.map(lambda values: values.astype(np.float64)) | integers


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, tuple[str, ...], np.ndarray | None]:
    """A table with names as programs write them, the names of its coordinates, and its colors."""
    size = draw(st.integers(1, 12))
    coordinates = draw(st.sampled_from(COORDINATES))
    columns: dict[str, Any] = {name: draw(numbers(size)).astype(np.float64) for name in coordinates}
    color = None
    if draw(st.booleans()):
        color = np.array(draw(st.lists(st.integers(128, 255), min_size=3 * size, max_size=3 * size))).reshape(
            size, 3
        )
        names = draw(st.sampled_from(COLORS))
        columns |= dict(zip(names, (color / 255 if names[0] == "Rf" else color).T))
    for name in draw(st.lists(st.sampled_from(OTHERS), unique=True, max_size=3)):
        words = st.lists(st.sampled_from(WORDS), min_size=size, max_size=size)
        columns[name] = draw(numbers(size) | words)
    return (
        pd.DataFrame({name: columns[name] for name in draw(st.permutations(list(columns)))}),
        coordinates,
        color,
    )


@EXAMPLES
@given(
    content=tables(),
    separator=st.sampled_from([",", ";", "\t", "|", " "]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    missing=st.sampled_from(["", "nan", "NULL", "1.#QNAN", "-nan(ind)"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    index=st.booleans(),
)
@pytest.mark.slow
def test_tables_of_pandas(
    content: tuple[pd.DataFrame, tuple[str, ...], np.ndarray | None], separator: str, quoting: Any, missing: str,
    end: str, encoding: str, index: bool,
) -> None:  # fmt: skip
    table, coordinates, color = content
    if separator == " ":
        missing, table = missing or "nan", table.rename(columns={"": "no name"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        table.to_csv(path, sep=separator, quoting=quoting, na_rep=missing, lineterminator=end, encoding=encoding,
                     index=index, index_label="id" if separator == " " or "" in table else None)  # fmt: skip
        cloud = from_table(found := read_table(path), path)
    np.testing.assert_allclose(cloud.pos, table[list(coordinates)].to_numpy(), rtol=1e-14)
    assert (cloud.color is None) == (color is None)
    if color is not None:
        np.testing.assert_array_equal(cloud.color, color)
    assert len(found.columns) == table.shape[1] + index
    read = list(found.columns.values())[index:]
    for name, values in zip(table.columns, read):
        if table[name].dtype.kind in "fiu":
            np.testing.assert_allclose(values, table[name].to_numpy(dtype=float), rtol=1e-14)
        else:
            assert values.tolist() == table[name].tolist()


@st.composite
def arrays(draw: st.DrawFn) -> tuple[dict[str, np.ndarray], str, str | None]:
    """Arrays of one cloud, the name of its positions, and that of its colors."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    size = draw(st.integers(1, 50))
    name = draw(st.sampled_from(["pos", "xyz", "Points", "coords", "vertices"]))
    kind = draw(st.sampled_from(["<f4", ">f4", "f8", "i4", "f2"]))
    content = {name: rng.uniform(-90, 90, (size, 3)).astype(kind)}
    colored = draw(st.sampled_from([None, "color", "rgb", "Colors"]))
    if colored:
        channels = draw(st.integers(3, 4))
        content[colored] = rng.integers(0, 256, (size, channels)).astype(
            draw(st.sampled_from(["u1", ">u2", "i8"]))
        )
        content[colored][0] = 255
    for other in draw(st.lists(st.sampled_from(["label", "id", "gt", "Words"]), unique=True)):
        values = rng.integers(0, 13, size)
        content[other] = (
            values.astype("U2")
            if other == "Words"
            else values.astype(draw(st.sampled_from(["u1", ">i4", "f4"])))
        )
        content[other] = content[other].reshape(draw(st.sampled_from([(size,), (size, 1)])))
    order = draw(st.permutations(list(content)))
    return {key: np.asarray(content[key], order=draw(st.sampled_from("CF"))) for key in order}, name, colored


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npz", ".h5", ".hdf5"])
def test_arrays(suffix: str) -> None:
    @EXAMPLES
    @given(content=arrays(), packed=st.booleans(), group=st.sampled_from(["", "scene/", "a/b/"]))
    def check(content: tuple[dict[str, np.ndarray], str, str | None], packed: bool, group: str) -> None:
        parts, name, colored = content
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"a{suffix}")
            if suffix == ".npz":
                (np.savez_compressed if packed else np.savez)(path, **parts)  # type: ignore[arg-type]
            else:
                with h5py.File(path, "w") as file:
                    for key, array in parts.items():
                        array = array.astype("S") if array.dtype.kind == "U" else array
                        file.create_dataset(group + key, data=array, compression="gzip" if packed else None)
            cloud = from_table(found := read_table(path), path)
        np.testing.assert_array_equal(cloud.pos, parts[name])
        assert cloud.normal is None
        if colored is None:
            assert cloud.color is None
        else:
            np.testing.assert_array_equal(cloud.color, parts[colored][:, :3])  # type: ignore[arg-type]
        for key in parts.keys() - {name, colored}:
            np.testing.assert_array_equal(found.columns[key.lower()], parts[key].reshape(-1))

    check()


PARTS = ("color", "fractions", "normal", "intensity", "reflectance", "class", "object", "time")


@pytest.mark.slow
@EXAMPLES
@given(
    parts=st.lists(st.sampled_from(PARTS), unique=True, max_size=5),
    size=st.sampled_from([5, 40, 300]),
    seed=st.integers(0, 2**31),
    separator=st.sampled_from([" ", ",", "\t"]),
    as_array=st.booleans(),
)
def test_columns_without_names_are_right_or_refused(
    parts: list[str], size: int, seed: int, separator: str, as_array: bool
) -> None:
    rng = np.random.default_rng(seed)
    color = rng.integers(0, 256, (size, 3))
    normal = rng.normal(size=(size, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    if "color" in parts and "fractions" in parts:
        parts.remove("fractions")
    values = {
        "color": color, "fractions": color / 255, "normal": normal, "intensity": rng.integers(0, 256, size),
        "reflectance": rng.uniform(-40, 0, size), "class": rng.integers(0, 13, size),
        "object": rng.integers(0, 45, size), "time": 1e5 + np.arange(size) * 0.1,
    }  # fmt: skip
    pos = rng.uniform(-5, 5, (size, 3)).round(3)
    table = np.column_stack([pos, *(values[part] for part in parts)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npy" if as_array else "a.txt")
        if as_array:
            np.save(path, table)
        else:
            np.savetxt(path, table, delimiter=separator, fmt="%.9g")
        try:
            cloud = from_table(read_table(path), path)
        except UserError as error:
            cloud, message = None, str(error)
    if cloud is None:
        assert "--columns" in message
        assert {"color", "fractions", "intensity", "class", "object"} & set(parts)
        return
    np.testing.assert_allclose(cloud.pos, pos, rtol=1e-12)
    if cloud.color is not None:
        assert {"color", "fractions"} & set(parts)
        np.testing.assert_array_equal(cloud.color, color)
    elif {"color", "fractions"} & set(parts):
        pytest.fail(f"the color is lost: {parts}")
    if cloud.normal is not None:
        assert "normal" in parts
        np.testing.assert_allclose(cloud.normal, normal, atol=1e-6)
