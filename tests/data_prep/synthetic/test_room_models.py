"""Rooms make sense: nothing floats or sticks out, and what is alike up close differs by where it is."""

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("open3d")

from data_prep.synthetic.model import Pose, RoomModel
from data_prep.synthetic.room_types import ROOM_TYPES, build_room
from data_prep.synthetic.scanner import choose_stations

SEEDS = range(4)
SHELL = {"floor", "ceiling", "wall", "door", "window"}


@pytest.fixture(scope="module")
def models() -> list[RoomModel]:
    # another seed for each: rooms of one seed would share their colors
    return [build_room(100 * seed + k, room_type) for seed in SEEDS for k, room_type in enumerate(ROOM_TYPES)]


def boxes(model: RoomModel) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corners ``(I, 3)`` of the box about each instance."""
    corners = model.vertices[model.triangles]
    instance = model.surface_instance[model.triangle_surface]
    low = np.full((len(model.labels), 3), np.inf)
    high = -low
    np.minimum.at(low, instance, corners.min(axis=1))
    np.maximum.at(high, instance, corners.max(axis=1))
    return low, high


def instances(models: list[RoomModel], label: str) -> Iterator[tuple[RoomModel, int, np.ndarray, np.ndarray]]:
    for model in models:
        low, high = boxes(model)
        yield from ((model, k, low[k], high[k]) for k, name in enumerate(model.labels) if name == label)


def face_color(model: RoomModel, instance: int) -> np.ndarray:
    """Return the color of the first, largest part of an instance."""
    return np.array(model.materials[int(np.flatnonzero(model.surface_instance == instance)[0])].color)


def wall_color(model: RoomModel) -> np.ndarray:
    return face_color(model, model.labels.index("wall"))


def side(pose: Pose) -> int:
    return round(pose.yaw / (np.pi / 2)) % 4


def test_the_same_seed_gives_the_same_room() -> None:
    first, second, other = (build_room(seed, "office") for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.vertices, second.vertices)
    assert first.materials == second.materials
    assert first.vertices.shape != other.vertices.shape


@pytest.mark.slow
def test_things_stay_in_the_room(models: list[RoomModel]) -> None:
    for model in models:
        low, high = boxes(model)
        for k, label in enumerate(model.labels):
            if label not in SHELL:
                # a sheet of paper may reach a few centimeters into the wall
                assert (low[k] > -0.1).all(), label
                assert (high[k] < np.array(model.size) + 0.1).all(), label


@pytest.mark.slow
def test_nothing_floats(models: list[RoomModel]) -> None:
    for model in models:
        low, high = boxes(model)
        solid = np.array([label not in {"wall", "floor"} for label in model.labels])
        for k, label in enumerate(model.labels):
            beside = min(*low[k, :2], *(np.array(model.size[:2]) - high[k, :2]))
            if label in SHELL or low[k, 2] < 0.03 or beside < 0.06:
                continue
            touched = (low < high[k] + 0.03).all(axis=1) & (high > low[k] - 0.03).all(axis=1) & solid
            assert touched.sum() > 1, (label, low[k])


def test_furniture_does_not_stand_in_furniture(models: list[RoomModel]) -> None:
    for model in models:
        low, high = boxes(model)
        standing = [
            k for k, name in enumerate(model.labels) if name in {"table", "bookcase", "sofa", "column"}
        ]
        for position, k in enumerate(standing):
            for other in standing[:position]:
                overlap = np.minimum(high[k], high[other]) - np.maximum(low[k], low[other])
                assert not (overlap > 0.05).all(), (model.labels[k], model.labels[other])


@pytest.mark.slow
def test_doors_reach_the_floor_and_are_free(models: list[RoomModel]) -> None:
    doors = list(instances(models, "door"))
    assert len(doors) >= len(models)
    for model, k, low, high in doors:
        assert low[2] < 0.02
        assert 1.9 < high[2] < 2.4
        step = model.poses[k].then(y=0.5)
        lows, highs = boxes(model)
        for j, label in enumerate(model.labels):
            inside = (lows[j, :2] < [step.x, step.y]).all() and (highs[j, :2] > [step.x, step.y]).all()
            assert not (inside and label not in SHELL and lows[j, 2] < 1.8), label


def test_windows_and_boards_are_on_different_walls(models: list[RoomModel]) -> None:
    both = 0
    for model in models:
        windows, boards = (
            {side(pose) for pose, label in zip(model.poses, model.labels) if label == name}
            for name in ("window", "board")
        )
        assert len(windows) <= 2
        assert not windows & boards
        both += bool(windows and boards)
    assert both >= 4


def is_camouflaged(model: RoomModel) -> bool:
    columns = [k for k, label in enumerate(model.labels) if label == "column"]
    return bool(columns) and np.abs(face_color(model, columns[0]) - wall_color(model)).max() < 0.02


def test_some_rooms_paint_boards_and_beams_as_their_walls(models: list[RoomModel]) -> None:
    carried = [model for model in models if "column" in model.labels]
    hidden = [model for model in carried if is_camouflaged(model)]
    assert 0.1 < len(hidden) / len(carried) < 0.9
    beams = list(instances(hidden, "beam"))
    for model, k, _, high in beams:
        ceiling = face_color(model, model.labels.index("ceiling"))
        assert (
            min(np.abs(face_color(model, k) - color).max() for color in (ceiling, wall_color(model))) < 0.02
        )
        assert high[2] == pytest.approx(model.size[2], abs=1e-3)
    as_wall = [
        np.abs(face_color(model, k) - wall_color(model)).max() < 0.12
        for model, k, *_ in instances(hidden, "board")
    ]
    assert beams
    assert np.mean(as_wall) > 0.4


@pytest.mark.slow
def test_boards_are_shaped_like_windows_with_the_blind_drawn(models: list[RoomModel]) -> None:
    faces = {"board": [], "window": []}
    for label, found in faces.items():
        for model, k, low, high in instances(models, label):
            panes = np.flatnonzero(model.surface_instance == k)
            if all(model.materials[s].dropout == 0 for s in panes) and min((high - low)[:2]) < 0.12:
                found.append((low[2], high[2]))
    board, window = (np.array(faces[label]) for label in ("board", "window"))
    assert min(len(board), len(window)) >= 4
    # lower and upper edges: neither range lies beside the other
    assert (board.min(axis=0) < window.max(axis=0)).all()
    assert (window.min(axis=0) < board.max(axis=0)).all()


def test_low_bookcases_are_as_high_as_tables(models: list[RoomModel]) -> None:
    tables = [high[2] for *_, high in instances(models, "table")]
    cases = np.array([high[2] for *_, high in instances(models, "bookcase")])
    assert ((cases > np.percentile(tables, 10)) & (cases < np.percentile(tables, 90))).sum() >= 3


def test_columns_reach_from_floor_to_ceiling(models: list[RoomModel]) -> None:
    columns = list(instances(models, "column"))
    assert len(columns) > len(models) / 2
    for model, _, low, high in columns:
        assert high[2] - low[2] == pytest.approx(model.size[2], abs=1e-3)


def shared_planes(model: RoomModel, *, rays: int = 8000) -> Iterator[tuple[str, str, float]]:
    """Classes of two items whose faces lie within a millimeter of each other where a ray meets them, and the gap."""
    import open3d as o3d

    rng = np.random.default_rng(0)
    directions = rng.normal(size=(rays, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origins = choose_stations(model, rng)[np.arange(rays) % 2]
    lines = o3d.core.Tensor(np.concatenate([origins, directions], axis=1).astype(np.float32))
    met = {name: part.numpy() for name, part in model.scene.list_intersections(lines).items()}
    order = np.lexsort((met["t_hit"], met["ray_ids"]))
    ray, distance, triangle = (met[name][order] for name in ("ray_ids", "t_hit", "primitive_ids"))
    _, first, inverse = np.unique(ray, return_index=True, return_inverse=True)
    seen = first[inverse]  # what the ray meets first
    corners = model.vertices[model.triangles[triangle]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    gap = (distance - distance[seen]) * np.abs(np.einsum("ij,ij->i", normal, directions[ray]))
    instance = model.surface_instance[model.triangle_surface[triangle]]
    level = np.abs(np.einsum("ij,ij->i", normal, normal[seen])) > 0.999
    for row in np.flatnonzero((gap < 1e-3) & level & (instance != instance[seen])):
        yield model.labels[instance[seen[row]]], model.labels[instance[row]], float(gap[row])


@pytest.mark.slow
def test_no_face_of_one_class_lies_in_that_of_another(models: list[RoomModel]) -> None:
    """Of two faces in one plane a ray meets either: points of one surface would get both labels.

    Things that people move may touch by chance; what is built stands a few millimeters before what is behind it.
    """
    built = {"beam", "column", "wall", "ceiling", "floor", "door", "window", "board"}
    for model in models:
        for seen, behind, gap in shared_planes(model):
            apart = 1e-3 if {seen, behind} <= built else 5e-5
            assert seen == behind or gap > apart, (seen, behind, gap)


def test_a_pinhole_camera_sees_the_room(models: list[RoomModel]) -> None:
    model = models[0]
    u, v = np.meshgrid(np.linspace(-0.8, 0.8, 32), np.linspace(-0.6, 0.6, 24))
    directions = np.stack([np.ones_like(u), u, -v], axis=-1).reshape(-1, 3)
    eye = np.array([0.1, model.size[1] / 2, 1.5])
    hits = model.cast(eye, directions)
    assert (hits.surface >= 0).mean() > 0.9
    seen = hits.surface >= 0
    np.testing.assert_allclose(np.linalg.norm(hits.normal[seen], axis=1), 1, atol=1e-4)
    assert (np.einsum("ij,ij->i", hits.normal[seen], directions[seen]) <= 0).all()
    place = eye + hits.distance[seen, None] * directions[seen]
    color = model.albedo(place, hits.normal[seen], hits.surface[seen])
    assert color.min() >= 0
    assert color.max() <= 1
    assert color.std() > 0.05
