"""The command that shows clouds: pictures, messages, predictions found in folders."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import write_checkpoint
from helpers.fakes import fake_room
from helpers.office import write_image_model, write_office_frame, write_point_model
from PIL import Image

from pcseg.cli import run
from pcseg.data.predictions import SavedPrediction, write_prediction
from pcseg.data.scenes import write_scene
from pcseg.labels import S3DIS

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "visualize.py"
ROOM = fake_room(0, num_points=4000)
SMALL = ["--size", "[320, 180]"]


def visualize(*args: str | Path) -> None:
    run(runpy.run_path(str(SCRIPT))["visualize"], args=[str(arg) for arg in args])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "rooms" / "Area_5" / "office_1.h5"
    write_scene(path, **ROOM, dataset="fake", scene="office_1", schema=S3DIS)
    return path


def write_predictions(folder: Path) -> None:
    """Two areas with a room of one name; that of area 5 is right everywhere."""
    for area, label in (("Area_1", np.zeros(10)), ("Area_5", ROOM["label"])):
        confidence = np.full(len(label), 0.5)
        saved = SavedPrediction(
            label=label, confidence=confidence, schema=S3DIS, source="x", checkpoint="abc"
        )
        write_prediction(folder / "abc" / area / "office_1.npz", saved)


def test_picture_and_sheet(tmp_path: Path, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_predictions(tmp_path / "predictions")
    png = tmp_path / "pictures" / "a.png"
    visualize(
        scene,
        "--prediction",
        tmp_path / "predictions",
        "--by",
        "error",
        "--view",
        "top",
        "--png",
        png,
        *SMALL,
    )
    assert pixels(png).shape == (180, 320, 3)
    said = capsys.readouterr().out
    assert "by checkpoint abc" in said
    assert "Area_5" in said
    assert "4,000 points" in said
    visualize(scene, "--prediction", tmp_path / "predictions", "--sheet", "true", "--png", png, *SMALL)
    assert pixels(png).shape == (180, 320, 3)
    assert [path.name for path in png.parent.iterdir()] == ["a.png"]


def test_what_is_found_in_a_file_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ckpt = write_checkpoint(tmp_path / "a.ckpt")
    cloud = tmp_path / "room.xyz"
    np.savetxt(cloud, np.hstack([ROOM["pos"], ROOM["color"]]), fmt="%.4g")
    visualize(cloud, "--ckpt", ckpt, "--png", tmp_path / "a.png", *SMALL)
    assert capsys.readouterr().out.count("up: ") == 1


def test_page(tmp_path: Path, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "pages" / "a.html"
    visualize(scene, "--html", page, "--by", "label", "--palette", "colorblind")
    assert "4,000 of 4,000 points" in capsys.readouterr().out
    assert page.read_text().startswith("<!doctype html>")
    assert [path.name for path in page.parent.iterdir()] == ["a.html"]


def test_own_eye(tmp_path: Path, scene: Path) -> None:
    pictures = []
    for number, eye in enumerate(("[1, 1, 1.5]", "[1.5, 1.8, 1.2]")):
        png = tmp_path / f"{number}.png"
        visualize(scene, "--png", png, "--eye", eye, "--look_at", "[1, 0.2, 1]", *SMALL)
        pictures.append(pixels(png))
    assert (pictures[0] != pictures[1]).any()


def test_gain_and_charts_of_a_frame(tmp_path: Path, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the picture alone, and beside points."""
    frame = tmp_path / "frames" / "Area_5" / "office_1" / "color" / "000000.jpg"
    write_office_frame(frame)
    for head in ("ctnet", "encnet"):
        write_image_model(tmp_path / f"images_{head}.ckpt", head)
        write_point_model(tmp_path / f"points_{head}.ckpt", head)
    png = tmp_path / "a.png"
    images = [tmp_path / f"images_{head}.ckpt" for head in ("ctnet", "encnet")]
    visualize(frame, "--ckpt", images[0], "--plain", images[1], "--by", "gain", "--png", png, *SMALL)
    assert pixels(png).shape == (180, 320, 3)
    both = [
        "--frame",
        frame,
        "--frame_ckpt",
        images[0],
        "--ckpt",
        tmp_path / "points_ctnet.ckpt",
        "--png",
        png,
    ]
    others = ["--plain", tmp_path / "points_encnet.ckpt", "--frame_plain", images[1]]
    visualize(scene, *both, *others, "--by", "gain")
    assert pixels(png).shape == (40 + 2 * (300 + 28 + 6), 4 * (400 + 6) + 240, 3)
    visualize(scene, *both, "--by", "context")
    assert pixels(png).shape == (1440, 1280, 3)
    assert capsys.readouterr().out.count("metres, z up") == 2, "once for each picture"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ["--by", "prediction", "--png", "a.png"],
            "no prediction to colour by prediction; give --prediction",
        ),
        (["--by", "error", "--png", "a.png"], "no prediction to colour by error"),
        (["--prediction", "none.npz", "--png", "a.png"], "no such file"),
        (["--sheet", "true"], "give --png"),
        (["--by", "affinity", "--png", "a.png"], "give --ckpt"),
        (["--by", "context", "--png", "a.png"], "give --ckpt"),
        (["--plain", "none.ckpt", "--png", "a.png"], "give that too"),
        (["--ckpt", "none.ckpt", "--png", "a.png"], "none.ckpt: no such checkpoint"),
        (["--by", "gain", "--html", "a.html"], "nothing to colour by gain"),
        (["--by", "context"], "--by context is a picture of charts: give --png FILE"),
        (["--by", "context", "--html", "a.html"], "give --png FILE"),
        (
            ["--frame_plain", "a.ckpt", "--png", "a.png"],
            "give --frame, --frame_ckpt, --ckpt and --png together",
        ),
        (
            [
                "--frame",
                "a.jpg",
                "--frame_ckpt",
                "a.ckpt",
                "--ckpt",
                "b.ckpt",
                "--by",
                "gain",
                "--png",
                "a.png",
            ],
            "give --plain and --frame_plain",
        ),
        (["--size", "[0, 0]", "--png", "a.png"], "--size [0, 0]: too small"),
        (["--png", "."], ".: a folder; give the name of a file"),
        (["--frame", "a.jpg", "--png", "a.png"], "give --frame, --frame_ckpt, --ckpt and --png together"),
        ([], "no screen"),
    ],
)
def test_user_errors_are_one_line(
    scene: Path,
    args: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as stop:
        visualize(scene, *args)
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.png"))


def test_wrong_colouring_names_the_key(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        visualize(scene, "--by", "colour")
    assert stop.value.code == 2
    assert "by" in capsys.readouterr().err
