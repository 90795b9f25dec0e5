"""The command: pictures, pages and windows of clouds and images, and one-line errors."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import write_checkpoint
from helpers.fakes import fake_room
from helpers.office import write_image_model, write_office_frame, write_point_model
from PIL import Image

from pcseg.cli import main
from pcseg.data.indoor import COARSE, INDOOR
from pcseg.data.io.ply import write_ply
from pcseg.data.predictions import SavedPrediction, write_prediction
from pcseg.data.scenes import write_scene
from pcseg.inference.predict import predict
from pcseg.labels import S3DIS
from pcseg.views.interactive.browser import BrowserView

ROOM = fake_room(0, num_points=4000)
SMALL = ["--size", "[320, 180]"]


def visualize(*args: str | Path) -> None:
    main(["visualize", *map(str, args)])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def words(path: Path) -> list[str]:
    with Image.open(path) as image:
        return image.info["Description"].splitlines()


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "rooms" / "Area_5" / "office_1.h5"
    write_scene(path, **ROOM, dataset="fake", scene="office_1", schema=S3DIS)
    return path


def write_predictions(folder: Path) -> Path:
    """Write predictions of two areas with a room of one name; that of area 5 is correct everywhere."""
    for area, label in (("Area_1", np.zeros(10)), ("Area_5", ROOM["label"])):
        confidence = np.full(len(label), 0.5)
        saved = SavedPrediction(
            label=label, confidence=confidence, schema=S3DIS, source="x", checkpoint="abc"
        )
        write_prediction(folder / "abc" / area / "office_1.npz", saved)
    return folder


def test_pictures(tmp_path: Path, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prediction = ["--prediction", write_predictions(tmp_path / "predictions")]
    png = tmp_path / "pictures" / "a.png"
    visualize(scene, *prediction, "--by", "error", "--view", "top", "--png", png, *SMALL)
    assert pixels(png).shape == (180, 320, 3)
    assert words(png) == ["office_1: error", "correct  100.0 %"]
    printed = capsys.readouterr().out
    assert "Area_5/office_1.npz: predicted by checkpoint abc" in printed
    assert "4,000 points" in printed
    visualize(scene, *prediction, "--sheet", "true", "--png", png, *SMALL)
    assert words(png)[:5] == ["office_1: prediction and error", "color", "true label", "prediction", "error"]
    assert [path.name for path in png.parent.iterdir()] == ["a.png"]


def test_the_suffix_gives_the_format(tmp_path: Path, scene: Path) -> None:
    visualize(scene, "--png", tmp_path / "a.jpg", *SMALL)
    assert (tmp_path / "a.jpg").read_bytes().startswith(b"\xff\xd8")


def test_units_and_axes_are_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ckpt = write_checkpoint(tmp_path / "a.ckpt", features=["color", "height"])
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


@pytest.mark.slow
def test_page_of_a_model_has_its_charts(tmp_path: Path, scene: Path) -> None:
    write_point_model(tmp_path / "ctnet.ckpt", "ctnet")
    coloring = ["--by", "affinity", "--of", "wall"]
    visualize(scene, "--ckpt", tmp_path / "ctnet.ckpt", *coloring, "--html", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert "data:image/png;base64" in text
    first = re.search(r'"first": (\d+)', text)
    assert first is not None
    titles = re.findall(r'"title": "([^"]*)"', text)
    assert titles[int(first[1])] == "affinity to wall"
    assert "principal components of the features" in titles


@pytest.mark.slow
def test_slabs_and_the_values_of_a_point(
    tmp_path: Path, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_point_model(tmp_path / "slab.ckpt", "slab")
    png, pick = tmp_path / "a.png", ["--pick", "[0, 0, 1]"]
    visualize(scene, "--ckpt", tmp_path / "slab.ckpt", "--by", "slabs", "--of", "wall", *pick, "--png", png)
    assert {f"share of wall in slabs along {axis}" for axis in "xyz"} < set(words(png))
    printed = capsys.readouterr().out
    for axis in "xyz":
        assert re.search(rf"slab along {axis}: \S+ to \S+ m: .*; true: ", printed)


def test_camera(tmp_path: Path, scene: Path) -> None:
    pictures = []
    for number, eye in enumerate(("[1, 1, 1.5]", "[1.5, 1.8, 1.2]")):
        png = tmp_path / f"{number}.png"
        visualize(scene, "--png", png, "--eye", eye, "--look_at", "[1, 0.2, 1]", *SMALL)
        pictures.append(pixels(png))
    assert (pictures[0] != pictures[1]).any()


def test_browser(scene: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("viser")
    served: list[tuple[str, str, int]] = []

    def interrupt(view: BrowserView) -> None:
        served.append((view.shown, view.server.get_host(), len(view.drawn)))
        view.stop()

    monkeypatch.setattr(BrowserView, "wait", interrupt)
    visualize(scene, "--browser", "--host", "0.0.0.0", "--port", "0", "--max_points", "500", "--by", "height")
    ((shown, host, drawn),) = served
    assert (shown, host) == ("height", "0.0.0.0")
    assert 300 < drawn <= 500
    printed = capsys.readouterr().out
    assert re.search(r"Open http://localhost:\d+ in a browser", printed)
    assert "pass --max_points N for more" in printed


@pytest.mark.slow
def test_images(tmp_path: Path) -> None:
    frame = tmp_path / "frames" / "Area_5" / "office_1" / "color" / "000000.jpg"
    write_office_frame(frame)
    for head in ("ctnet", "encnet"):
        write_image_model(tmp_path / f"{head}.ckpt", head)
    png, baseline = tmp_path / "a.png", ["--baseline", tmp_path / "encnet.ckpt"]
    visualize(frame, "--ckpt", tmp_path / "ctnet.ckpt", *baseline, "--by", "gain", "--png", png, *SMALL)
    assert words(png)[0].startswith("000000: CTNet, probability of the true class minus that of the baseline")
    visualize(frame, "--ckpt", tmp_path / "ctnet.ckpt", "--by", "context", "--png", png)
    assert "000000: context of the whole image, CTNet" in words(png)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--by", "error", "--png", "a.png"], "no prediction to color by error"),
        (["--prediction", "none.npz", "--png", "a.png"], "none.npz"),
        (["--sheet", "true"], "--sheet: applies to pictures. Pass --png FILE"),
        (["--size", "[640, 480]", "--html", "a.html"], "--size: applies to pictures"),
        (["--by", "affinity", "--png", "a.png"], "Pass --ckpt"),
        (["--by", "context", "--png", "a.png"], "Pass --ckpt"),
        (["--baseline", "none.ckpt", "--png", "a.png"], "--baseline: needs --ckpt"),
        (["--ckpt", "none.ckpt", "--png", "a.png"], "none.ckpt"),
        (["--ckpt", "none.ckpt", "--prediction", "none.npz"], "pass only one of them"),
        (["--by", "gain", "--html", "a.html"], "nothing to color by gain"),
        (
            ["--by", "rgb", "--of", "wall", "--png", "a.png"],
            "--of wall: needs --by affinity, --by codeword or --by slabs",
        ),
        (["--by", "context"], "--by context: draws charts. Use it with --png FILE"),
        (["--by", "context", "--html", "a.html"], "with --png FILE"),
        (["--size", "[0, 0]", "--png", "a.png"], "--size: 0 is out of range"),
        (["--png", "."], ".: a directory. Pass the name of a file"),
        (["--png", "a.xyz"], "a.xyz: unknown image format"),
        ([], "No screen"),
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


def test_an_image_needs_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg")
    with pytest.raises(SystemExit):
        visualize(tmp_path / "a.jpg", "--png", tmp_path / "b.png")
    assert "a.jpg: an image. Pass --ckpt FILE, the checkpoint of an image model" in capsys.readouterr().err


def test_unknown_values_name_the_option(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        visualize(scene, "--by", "colors")
    assert stop.value.code == 2
    assert "by" in capsys.readouterr().err


def test_classes_of_another_label_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A prediction in a label set is that of the command predict; internals of the head are of its own classes."""
    ckpt = write_checkpoint(tmp_path / "indoor.ckpt", schema=INDOOR)
    cloud, png = tmp_path / "a.ply", tmp_path / "a.png"
    write_ply(cloud, dict(zip("xyz", ROOM["pos"].T)) | dict(zip(("red", "green", "blue"), ROOM["color"].T)))
    visualize(cloud, "--ckpt", ckpt, "--classes", "coarse", "--png", png, *SMALL)
    found = predict(cloud, ckpt, classes="coarse").label
    names = {COARSE.names[label] for label in found.tolist()}
    assert {line.rsplit(maxsplit=2)[0] for line in words(png)[1:]} == names
    for args, message in (
        (["--ckpt", ckpt, "--by", "slabs"], "--classes coarse: does not show --by slabs"),
        (["--prediction", tmp_path], "--classes coarse: applies to predictions of one point model"),
    ):
        with pytest.raises(SystemExit):
            visualize(cloud, *args, "--classes", "coarse", "--png", png, *SMALL)
        assert message in capsys.readouterr().err
