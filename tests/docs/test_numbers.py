"""Numbers in README and pages are those of the reports they cite."""

import json
import re
from statistics import mean, stdev

import pytest
from helpers.printed_commands import ROOT, blocks


def rows_of(study: str) -> list[dict]:
    return json.loads((ROOT / "docs" / "studies" / f"{study}.json").read_text())["variants"]


def spread(miou: list[float]) -> str:
    return f"{mean(miou):.1f} ± {stdev(miou):.1f}"


def scores(study: str) -> dict[str, str]:
    return {row["variant"]: spread(row["miou"]) for row in rows_of(study)}


def table_rows(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(rf"\| `(rooms/)?{name}`", line)]


@pytest.mark.parametrize(
    "row", [row for row in rows_of("heads") if not row["options"]], ids=lambda row: row["variant"]
)
def test_scores_of_the_heads_study(row: dict) -> None:
    """Models name the heads by their configurations, and README those on the sparse U-Net."""
    name = row["config"].removeprefix("rooms/")
    pages = ["docs/models.md"] if "/" in name else ["docs/models.md", "README.md"]
    for path in pages:
        rows = table_rows((ROOT / path).read_text(), name)
        assert len(rows) == 1, f"{path}: {rows}"
        assert spread(row["miou"]) in rows[0]


def test_scores_of_the_slabs_study() -> None:
    """README and pages name the slabs, and the controls on the same backbone, in both sets of rooms."""
    known, again = scores("slabs"), scores("heads")
    readme, page, models = (
        " ".join((ROOT / path).read_text().split())
        for path in ("README.md", "docs/class_features.md", "docs/models.md")
    )
    for backbone in ("", "ptv3-"):
        for name in ("fcn-deep", "slab-positions", "slab"):
            assert known[backbone + name] in page
            assert f"{again[backbone + name]} | {known[backbone + name]}" in readme
    assert known["ptv3-slab"] in models


@pytest.mark.parametrize("study", ["heads", "other_rooms", "image_heads"])
def test_scores_of_the_ladder(study: str) -> None:
    """On points, on rooms of the other generator, and on images."""
    page = (ROOT / "docs" / "class_features.md").read_text()
    for name, score in scores(study).items():
        assert f"| {score} |" in page, name
    if study != "other_rooms":
        for row in rows_of(study):
            assert ", ".join(f"{miou:.1f}" for miou in row["miou"]) in page, row["variant"]


def test_scores_of_the_model_that_ships() -> None:
    """The card has a table for scans of unseen families, and one for those of the training."""
    card = (ROOT / "pcseg" / "pretrained" / "indoor-small.md").read_text()
    pages = (ROOT / "docs" / "generated_scans.md").read_text()
    errors = re.findall(r"calibration error (\S+)", card)
    scores = re.findall(
        r"^\| (?:indoor|s3dis|scannet20|coarse) \| (\S+) \| (\S+) \|$", card, flags=re.MULTILINE
    )
    rows = re.findall(
        r"^\| (?:unseen families|families of the training) \| (.*) \|$", pages, flags=re.MULTILINE
    )
    assert len(rows) == len(errors) == len(scores) / 4 == 2
    for number, row in enumerate(rows):
        cells = [f"{accuracy} % / {miou}" for accuracy, miou in scores[4 * number : 4 * number + 4]]
        assert row.split(" | ") == [*cells, errors[number]]
    accuracy, miou = scores[3]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"labels {float(accuracy):.0f} % of the points of generated scans" in readme
    assert f"(9 classes, {miou} mIoU)" in readme


def test_estimates_of_scaling() -> None:
    """The table is that of the printed function."""
    text = (ROOT / "docs" / "many_gpus.md").read_text()
    names: dict = {}
    exec(blocks(text, "python")[0], names)
    rows = re.findall(r"^\| (?:Sparse|PTv3|Sonata).* MB \| (.*) \|$", text, flags=re.MULTILINE)
    models = [names[name] for name in ("unet", "ptv3", "sonata")]
    clusters = [(1, 300), (8, 300), (64, 40), (8, 10), (64, 3)]
    assert len(rows) == len(models)
    for row, model in zip(rows, models):
        found = [names["efficiency"](n, gb_per_s=speed, **model) for n, speed in clusters]
        assert row.split(" | ") == [f"{share:.0%}".replace("%", " %") for share in found]
