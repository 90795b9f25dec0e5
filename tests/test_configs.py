"""Every shipped configuration parses against the training function and makes two training steps."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from helpers.fake_images import write_images
from helpers.fakes import write_fake_building
from helpers.raw_scans import write_release
from jsonargparse import Namespace

from data_prep.scannet import prepare
from pcseg.cli import make_parser
from pcseg.training.segmentor import Segmentor
from pcseg.training.train import train

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
OVERLAYS = dict.fromkeys(
    ["laptop.yaml", "ptv3.yaml", "sonata_linear.yaml", "sonata_decoder.yaml"], "plain.yaml"
)
"""Files that only change another one of their folder."""


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_building(tmp_path_factory.mktemp("building"), num_points=300)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Prepared scans for each configuration of ScanNet."""
    folder = tmp_path_factory.mktemp("scans")
    raw = write_release(
        folder / "raw", [f"scene000{k}_00" for k in range(4)] + ["scene0011_00", "scene0707_00"]
    )
    prepare(raw, folder / "20", workers=1)
    prepare(raw, folder / "200", classes=200, workers=1)
    return {"plain.yaml": folder / "20", "laptop.yaml": folder / "20", "plain200.yaml": folder / "200"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of a tiny image data set, once."""
    folder = tmp_path_factory.mktemp("images")
    return cache(lambda dataset: write_images(folder / dataset, dataset))


def image_set(files: list[Path]) -> str | None:
    """The image data set of a configuration, ``None`` if it is of rooms."""
    data = [yaml.safe_load(file.read_text()).get("data", {}) for file in files]
    return next(
        (part["init_args"]["dataset"] for part in data if "dataset" in part.get("init_args", {})), None
    )


def forget_weights(config: Namespace) -> None:
    """Published weights are not there: leave out their paths."""
    for key, value in vars(config).items():
        if key == "pretrained":
            config[key] = None
        elif isinstance(value, Namespace):
            forget_weights(value)


@pytest.mark.parametrize("head", ["plain", "ctnet", "encnet", "ccnet"])
@pytest.mark.parametrize("dataset", ["s3dis", "scannet"])
def test_point_transformer_goes_under_every_head(
    dataset: str, head: str, building: Path, scans: dict[str, Path]
) -> None:
    parser = make_parser(train)
    root = scans["plain.yaml"] if dataset == "scannet" else building
    files = [CONFIGS / dataset / f"{name}.yaml" for name in (head, "ptv3")]
    words = [word for file in files for word in ("--config", str(file))]
    parts = parser.instantiate(parser.parse_args([*words, "--data.root", str(root)]))
    network = Segmentor(
        parts.backbone, parts.head, in_channels=parts.data.in_channels, schema=parts.data.schema
    )
    assert type(network.backbone).__name__ == "PTv3"
    part = network.head if head == "plain" else network.head.body
    assert type(part).__module__ == f"pcseg.heads.{'linear' if head == 'plain' else head}"


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONFIGS)))
def test_trains_two_steps(
    path: Path, building: Path, scans: dict[str, Path], images: Callable[[str], Path]
) -> None:
    root = scans.get(path.name, scans["plain.yaml"]) if path.parent.name == "scannet" else building
    files = [path.with_name(OVERLAYS[path.name]), path] if path.name in OVERLAYS else [path]
    parser = make_parser(train)
    small = ["--data.batch_size", "2", "--data.num_workers", "0"]
    if dataset := image_set(files):
        root = images(dataset)
        small += ["--data.crop_size", "[64, 64]"]
    if path.name.startswith("sonata_") and root == building:  # which has no normals
        small += ["--data.features", "[pos, color, height]"]
    small += ["--data.root", str(root)]
    config = parser.parse_args([arg for file in files for arg in ("--config", str(file))] + small)
    forget_weights(config)
    parts = parser.instantiate(config)
    data = parts.data
    segmentor = Segmentor(
        parts.backbone, parts.head,
        in_channels=data.in_channels, schema=data.schema, loss=parts.loss(data.class_counts),
    )  # fmt: skip
    batch = next(iter(data.train_dataloader()))
    optimizer = parts.optimizer(segmentor.parameters())
    before = [parameter.detach().clone() for parameter in segmentor.parameters()]
    for _ in range(2):  # the second sees what the first made of weights, statistics and momenta
        total = torch.stack(list(segmentor.losses(segmentor(batch), batch).values())).sum()
        assert torch.isfinite(total)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    for (name, new), old in zip(segmentor.named_parameters(), before):
        assert new.isfinite().all(), name
        assert new.requires_grad != torch.equal(old, new), f"{name}: takes part if it is not frozen"
