"""Prepared scenes come back bit by bit as memory maps; every way a file can be wrong is named."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from pcseg.data.scenes import Scene, check_scene, read_scene, write_scene
from pcseg.errors import UserError
from pcseg.labels import S3DIS


def some_arrays(num_points: int, *, normal: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(num_points)
    arrays = {
        "pos": rng.normal(size=(num_points, 3)).astype(np.float32),
        "color": rng.integers(0, 256, (num_points, 3)).astype(np.uint8),
        "label": rng.integers(-1, 13, num_points).astype(np.int16),
        "instance": rng.integers(-1, 1000, num_points).astype(np.int32),
    }
    if normal:
        arrays["normal"] = rng.normal(size=(num_points, 3)).astype(np.float32)
    return arrays


def write(path: Path, **changes: np.ndarray) -> None:
    write_scene(path, **{**some_arrays(7), **changes}, dataset="s3dis", scene=path.stem, schema=S3DIS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "Area_1" / "office_1.h5"
    write(path)
    return path


@pytest.mark.parametrize("num_points", [0, 1, 1001])
@pytest.mark.parametrize("normal", [False, True])
def test_scene_returns_bit_by_bit(tmp_path: Path, num_points: int, normal: bool) -> None:
    arrays, path = some_arrays(num_points, normal=normal), tmp_path / "Area_1" / "office_1.h5"
    write_scene(path, **arrays, dataset="s3dis", scene="office_1", schema=S3DIS)
    scene = read_scene(path)
    assert (scene.name, scene.dataset, scene.schema, scene.num_points) == (
        "office_1",
        "s3dis",
        S3DIS,
        num_points,
    )
    assert scene.arrays().keys() == arrays.keys()
    for name, array in scene.arrays().items():
        assert array.dtype == arrays[name].dtype
        np.testing.assert_array_equal(array, arrays[name])
        assert not array.flags.writeable
        assert array.flags.aligned
    check_scene(scene)
    assert [file.name for file in path.parent.iterdir()] == ["office_1.h5"]


def test_file_has_the_layout_that_others_rely_on(path: Path) -> None:
    with h5py.File(path) as file:
        assert {name: (data.dtype.str, data.shape) for name, data in file.items()} == {
            "pos": ("<f4", (7, 3)),
            "color": ("|u1", (7, 3)),
            "label": ("<i2", (7,)),
            "instance": ("<i4", (7,)),
        }
        assert all(data.chunks is None and data.compression is None for data in file.values())
        assert set(file.attrs) == {"format_version", "dataset", "scene", "class_names", "label_schema"}
        assert tuple(file.attrs["class_names"]) == S3DIS.names


def test_same_content_is_the_same_file(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "other" / path.name
    write(again)
    assert again.read_bytes() == path.read_bytes()


def test_wider_numbers_are_accepted_when_they_fit(path: Path) -> None:
    write(path, pos=np.ones((7, 3)), label=np.arange(7), instance=np.arange(7))
    assert read_scene(path).label.tolist() == [*range(7)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pos": np.zeros((7, 2))}, r"pos has shape \(7, 2\), expected \(N, 3\)"),
        ({"label": np.zeros((7, 1), int)}, "label has shape"),
        ({"label": np.zeros(6, int)}, "differ in length"),
        ({"label": np.zeros(7)}, "label has type float64, expected integers"),
        ({"label": np.full(7, 70000)}, "label has values that do not fit int16"),
        ({"color": np.full((7, 3), 256)}, "color has values that do not fit uint8"),
        ({"label": np.full(7, 13)}, "label of point 0 is 13"),
        ({"label": np.full(7, -2)}, "label of point 0 is -2"),
        ({"pos": np.full((7, 3), np.nan)}, "pos of point 0 is .*nan"),
        ({"normal": np.full((7, 3), np.inf)}, "normal of point 0 is .*inf"),
    ],
)
def test_wrong_arrays_are_named_and_leave_the_old_file(path: Path, changes: dict, message: str) -> None:
    before = path.read_bytes()
    with pytest.raises(UserError, match=message) as raised:
        write(path, **changes)
    assert str(path) in str(raised.value)
    assert path.read_bytes() == before
    assert len([*path.parent.iterdir()]) == 1


def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*args: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(UserError, match=r"cannot be written.*No space"):
        write(tmp_path / "a.h5")
    assert [*tmp_path.iterdir()] == []


def change(path: Path, edit: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)


def replace_dataset(name: str, **how: object) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **how)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda file: file.pop("label"), "'label' is missing"),
        (lambda file: file.attrs.pop("label_schema"), "attribute 'label_schema' is missing"),
        (lambda file: file.attrs.modify("format_version", 99), "format version 99, expected 1"),
        (lambda file: file.attrs.modify("label_schema", "{"), "not a label schema"),
        (replace_dataset("pos", data=np.zeros((7, 3))), "pos has type float64, expected float32"),
        (replace_dataset("pos", data=np.zeros((7, 2), "f4")), r"pos has shape \(7, 2\)"),
        (replace_dataset("pos", data=np.zeros((7, 3), "f4"), chunks=(7, 3)), "chunked or compressed"),
        (replace_dataset("label", data=np.zeros(6, "i2")), "differ in length"),
    ],
)
def test_changed_files_are_named(path: Path, edit: Callable[[h5py.File], None], message: str) -> None:
    change(path, edit)
    with pytest.raises(UserError, match=message) as raised:
        read_scene(path)
    assert str(path) in str(raised.value)


def test_files_that_are_no_scenes(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_scene(tmp_path / "absent.h5")
    content = path.read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match=r"(?i)prepare"):
            read_scene(path)


@pytest.mark.parametrize(
    ("name", "value", "message"), [("label", 13, "label of point 3 is 13"), ("pos", np.nan, "pos of point 3")]
)
def test_check_scene_finds_wrong_values(path: Path, name: str, value: float, message: str) -> None:
    def edit(file: h5py.File) -> None:
        file[name][3] = value

    change(path, edit)
    scene = read_scene(path)
    with pytest.raises(UserError, match=message):
        check_scene(scene)


def _sum_of(scene: Scene, pipe) -> None:
    pipe.send(int(scene.instance.sum()))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_scene_opened_before_a_fork_is_readable_after_it(path: Path) -> None:
    scene = read_scene(path)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    processes = [context.Process(target=_sum_of, args=(scene, sender)) for _ in range(2)]
    for process in processes:
        process.start()
    assert {receiver.recv() for _ in processes} == {int(some_arrays(7)["instance"].sum())}
    for process in processes:
        process.join()
