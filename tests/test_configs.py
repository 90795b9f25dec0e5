"""Shipped configurations: every combination builds, and every data set, head and model trains two steps."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers.fake_images import write_images
from helpers.fakes import write_fake_building
from helpers.raw_scans import write_release
from jsonargparse import ArgumentParser, Namespace

from data_prep.scannet import prepare
from pcseg.cli import make_parser, training_config
from pcseg.config_names import CONFIGS, config_files
from pcseg.labels import S3DIS
from pcseg.training.segmentor import Segmentor
from pcseg.training.train import train

POINT_DATA = ("rooms", "s3dis", "scannet", "scannet/classes200")
HEADS = ("linear", "fcn", "encnet", "ctnet", "ctnet_centers", "ctnet_slab", "ccnet", "slab", "cac")
BACKBONES = ("sparse_unet_small", "sparse_unet_base", "ptv3_small", "ptv3", "sonata_linear", "sonata_decoder",
             "utonia_linear", "utonia_decoder", "utonia_finetune")  # fmt: skip
IMAGE_DATA = ("ade20k", "cityscapes", "pascal_context", "rooms_frames", "scannet_frames", "voc")
RECIPES = [
    (data, path.stem)
    for data in IMAGE_DATA
    for path in sorted((CONFIGS / data).glob("*.yaml"))
    if path.stem != "base"
]
TRAINED = {model: data for data, model in RECIPES}
"""Image models, each with one of its data sets; together they cover all data sets."""


@cache
def parser() -> ArgumentParser:
    return make_parser(train)


def parse(name: str, *options: str) -> Namespace:
    """Parse a configuration by name, without the files of pretrained weights."""
    words = [word for path in config_files(name) for word in ("--config", str(path))]
    config = parser().parse_args([*words, "--out", "runs/test", *options])
    _forget_weights(config)
    return config


def _forget_weights(config: Namespace) -> None:
    for key, value in vars(config).items():
        if key == "pretrained":
            config[key] = None
        elif isinstance(value, Namespace):
            _forget_weights(value)


def build(name: str, in_channels: int = 7) -> torch.nn.Module:
    """Build a model without allocating its weights, for the 13 classes of S3DIS."""
    config = parse(name)
    parts = ArgumentParser()
    parts.add_argument("--backbone", type=parser_type("backbone"))
    parts.add_argument("--head", type=parser_type("head"))
    with torch.device("meta"):
        made = parts.instantiate(Namespace(backbone=config.backbone, head=config.head))
        return Segmentor(made.backbone, made.head, in_channels=in_channels, schema=S3DIS)


def parser_type(name: str) -> object:
    return train.__annotations__[name]


def test_every_file_is_covered() -> None:
    covered = {*IMAGE_DATA, "heads", "backbones", "indoor", *(data.split("/")[0] for data in POINT_DATA)}
    assert {path.name for path in CONFIGS.iterdir()} == covered
    assert {path.stem for path in (CONFIGS / "heads").iterdir()} == set(HEADS)
    assert {path.stem for path in (CONFIGS / "backbones").iterdir()} == set(BACKBONES)
    assert not [path for path in CONFIGS.rglob("*.yaml") if "\nout:" in path.read_text()]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("data", POINT_DATA)
def test_every_combination_of_points_builds(data: str, backbone: str) -> None:
    """Every backbone with every head on one data set; on the others every backbone and head occur once."""
    number = BACKBONES.index(backbone)
    for head in HEADS if data == "rooms" else HEADS[number : number + 1]:
        model = build(f"{data}/{backbone}/{head}")
        assert type(model.head).__name__ == ("LinearHead" if head == "linear" else "PointHead")
        assert sum(parameter.numel() for parameter in model.parameters()) > 100_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["s3dis/encnet/axes", "s3dis/ccnet/laptop", "scannet/slab", "scannet/ccnet/axes", "scannet/ptv3/ccnet"],
)
def test_axes_follow_the_walls(name: str) -> None:
    """Rooms are rotated into their axes, and augmentations keep them up to a few degrees."""
    options = parse(name).data.init_args
    (geometry,) = options.point_transforms
    assert options.room_axes
    assert geometry.init_args.rotate <= 5
    assert geometry.init_args.quarter_turns
    assert geometry.init_args.elastic == name.startswith("scannet")


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"{data}/{head}/laptop" for data in ("s3dis", "scannet") for head in HEADS])
def test_every_head_builds_on_a_laptop(name: str) -> None:
    assert sum(parameter.numel() for parameter in build(name).parameters()) < 20_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("ctnet", "class_features=embedding heads=2"),
        ("ctnet_centers", "true_classes=true deep_weight=0.3"),
        ("encnet", "assignment=cosine restart=true sum_codewords=true pure_gate=true weighted=true"),
        ("ccnet", "scaled=true heads=2 relative=true"),
        ("slab", "content=features heads=2 detach=true"),
        ("slab", "content=shares heads=0 true_classes=true"),
        ("cac", "confidence=0.5 temperature=10 detach=false teacher_weight=0.5 distill_weight=0"),
    ],
)
def test_options_of_bodies_are_options_of_training(head: str, options: str) -> None:
    words = [f"--head.init_args.body.init_args.{option}" for option in options.split()]
    body = parse(f"rooms/{head}", *words).head.init_args.body.init_args
    for option in options.split():
        name, value = option.split("=")
        assert str(body[name]).lower() in (value, f"{value}.0")


@pytest.mark.parametrize("null", [["=null"], ["", "null"]], ids=["joined", "separate"])
def test_null_is_a_value_of_a_body(null: list[str]) -> None:
    size = f"--head.init_args.body.init_args.reference_size{null[0]}"
    words = ["--head.init_args.fine", "64", size, *null[1:], "--head.init_args.body.init_args.width", "96"]
    config = training_config(["--config", "rooms/encnet", *words])
    expected = training_config(["--config", "rooms/encnet"])
    assert expected["head"]["init_args"]["body"]["init_args"]["reference_size"] == 3600
    expected["head"]["init_args"]["fine"] = 64
    expected["head"]["init_args"]["body"]["init_args"] |= {"reference_size": None, "width": 96}
    assert config == expected


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes tiny data for a data set, once."""
    folder = tmp_path_factory.mktemp("data")

    def scans(name: str, classes: int) -> Path:
        raw = folder / "raw"
        if not raw.exists():
            write_release(raw, [*(f"scene000{k}_00" for k in range(4)), "scene0011_00", "scene0707_00"])
        prepare(raw, folder / name, classes=classes, workers=1)
        return folder / name

    @cache
    def write(data: str) -> Path:
        if data in ("rooms", "s3dis"):
            return write_fake_building(folder / data, num_points=300)
        if data.startswith("scannet") and data != "scannet_frames":
            return scans(data.replace("/", "_"), 200 if data.endswith("200") else 20)
        return write_images(folder / data, "room_frames" if data == "rooms_frames" else data)

    return write


def train_two_steps(name: str, data: str, root: Path) -> None:
    small = ["--data.batch_size", "2", "--data.num_workers", "0", "--data.root", str(root)]
    if data in IMAGE_DATA:
        small += ["--data.crop_size", "[64, 64]"]
    elif "sonata" in name or "utonia" in name:  # a smaller encoder; the test data has no normals
        depth = {"linear": 3, "decoder": 2, "finetune": 1}[name.rpartition("_")[2]]
        small += [f"--{'backbone.' * depth}size", "tiny" if "utonia" in name else "small"]
        small += ["--data.features", "[pos, color, height]"]
    parts = parser().instantiate(parse(name, *small))
    data_module = parts.data
    segmentor = Segmentor(
        parts.backbone, parts.head, in_channels=data_module.in_channels, schema=data_module.schema,
        loss=parts.loss(data_module.class_counts),
    )  # fmt: skip
    batch = next(iter(data_module.train_dataloader()))
    optimizer = parts.optimizer(segmentor.parameters())
    before = [parameter.detach().clone() for parameter in segmentor.parameters()]
    for _ in range(2):  # the second step depends on weights, statistics and momenta after the first
        total = torch.stack(list(segmentor.losses(segmentor(batch), batch).values())).sum()
        assert torch.isfinite(total)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    for (name, new), old in zip(segmentor.named_parameters(), before):
        assert new.isfinite().all(), name
        assert new.requires_grad != torch.equal(old, new), f"{name}: must change unless it is frozen"


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_heads_train_on_points(head: str, roots: Callable[[str], Path]) -> None:
    train_two_steps(f"rooms/{head}", "rooms", roots("rooms"))


@pytest.mark.slow
@pytest.mark.parametrize("data", POINT_DATA)
def test_data_sets_train(data: str, roots: Callable[[str], Path]) -> None:
    train_two_steps(f"{data}/encnet", data, roots(data))


@pytest.mark.slow
def test_fine_tuning_trains(roots: Callable[[str], Path]) -> None:
    train_two_steps("indoor/finetune", "rooms", roots("rooms"))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [*BACKBONES[2:], "laptop"])
def test_backbones_train(backbone: str, roots: Callable[[str], Path]) -> None:
    train_two_steps(f"s3dis/{backbone}", "s3dis", roots("s3dis"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"{data}/{model}" for data, model in RECIPES if TRAINED[model] != data])
def test_image_recipes_build(name: str) -> None:
    assert sum(parameter.numel() for parameter in build(name, in_channels=3).parameters()) > 100_000


@pytest.mark.slow
@pytest.mark.parametrize(("model", "data"), TRAINED.items())
def test_image_models_train(model: str, data: str, roots: Callable[[str], Path]) -> None:
    assert {*TRAINED.values()} == {*IMAGE_DATA}
    train_two_steps(f"{data}/{model}", data, roots(data))
