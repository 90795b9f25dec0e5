"""Every backbone and head on an emulated GPU: tensors of two devices never meet."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_geometric.typing
from helpers.dense_conv import random_voxels
from helpers.fake_gpu import ANSWERS, fake_gpu
from helpers.fake_images import write_room_frames
from helpers.fakes import write_fake_building
from helpers.heads import head_factory, published_ccnet, published_ctnet, published_encnet
from helpers.models import sample_room
from helpers.pyg_models import DGCNN, PointTransformer, SetAbstraction
from helpers.tiny_ptv3 import tiny
from torch import nn
from torch_geometric.data import Batch

from pcseg import heads
from pcseg.backbones.images.hrnet import hrnet
from pcseg.backbones.images.jpu import JPUBackbone
from pcseg.backbones.images.resnet import ResNet
from pcseg.backbones.images.van import VAN
from pcseg.backbones.points.frozen import Frozen, Upcast
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.pyg import PyGBackbone
from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.data.collate import Collate
from pcseg.data.features import num_features
from pcseg.data.images.batch import ImageBatch, Normalize
from pcseg.data.images.image_data import ImageData
from pcseg.data.room_data import RoomData
from pcseg.data.rooms import with_height
from pcseg.data.voxels import group_by_voxel
from pcseg.errors import UserError
from pcseg.heads import CACBody, CTBody, EncBody, FCNBody, LinearHead, PointHead, RCCABody, SlabBody
from pcseg.inference.images import ImageModel, ImageOptions
from pcseg.inference.points import PointOptions, predict_scene
from pcseg.labels import S3DIS
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.network import Network
from pcseg.ops import segment, sparse_conv, triton_conv
from pcseg.training.segmentor import best_class
from pcseg.training.train import train
from pcseg.training.trainer import TrainerOptions, build_trainer

CLASSES = S3DIS.num_classes
UNET = partial(SparseUNet, base_channels=16, channels=(16, 16, 16, 16), layers=(1, 1, 1, 1), stem_kernel=3)
PTV3 = partial(
    PTv3, enc_channels=(16, 32, 32), enc_depths=(1, 1, 1), enc_heads=(2, 2, 2), dec_channels=(16, 32),
    dec_depths=(1, 1), dec_heads=(2, 2), strides=(2, 2), patch_size=32, stem_kernel=3,
)  # fmt: skip


def on_level_1(body: Callable, **options: Any) -> Callable:
    return partial(PointHead, level=1, body=body, **options)


POINT_HEADS: dict[str, Callable] = {
    "linear": LinearHead,
    "fcn": on_level_1(FCNBody, auxiliary=FCNBody, fine=8),
    "cac": on_level_1(partial(CACBody, width=16)),
    "ccnet": on_level_1(partial(RCCABody, width=32)),
    "ccnet, thick": on_level_1(partial(RCCABody, width=48, thickness=2, heads=2, relative=True)),
    "ctnet": on_level_1(partial(CTBody, width=16, key_width=8)),
    "ctnet, centers": on_level_1(partial(CTBody, width=16, class_features="centers", heads=4, weighted=True)),
    "ctnet, slab": on_level_1(partial(CTBody, width=16, class_features="slab")),
    "encnet": on_level_1(partial(EncBody, width=16, num_codewords=4), laterals=[2]),
    "slab": on_level_1(partial(SlabBody, width=16)),
}

POINT_BACKBONES: dict[str, Callable] = {
    "unet": UNET,
    "ptv3": PTV3,
    "ptv3, positions": partial(PTV3, relative_position=True),
    "sonata": lambda _: tiny("sonata").float(),
    "utonia, frozen": lambda _: Upcast(
        4, backbone=partial(Frozen, backbone=lambda _: tiny("utonia").float())
    ),
    "pointnet++": lambda width: PyGBackbone(SetAbstraction(width), out_channels=[16, 16, 16]),
    "dgcnn": lambda width: PyGBackbone(DGCNN(width), out_channels=16),
    "point transformer": lambda width: PyGBackbone(PointTransformer(width), out_channels=16),
}
FEATURES = {"sonata": ("color",), "utonia, frozen": ("color",)}
LOSS = SegmentationLoss(torch.ones(CLASSES))
RAW = ("pointnet++", "dgcnn", "point transformer")

POINT_MODELS = [("unet", head) for head in POINT_HEADS]
POINT_MODELS += [(name, "linear" if name in RAW else "ccnet") for name in POINT_BACKBONES if name != "unet"]

RESNET = partial(ResNet, depths=(1, 1, 1, 1), widths=(8, 8, 8, 8), stem="s", stem_width=8)
IMAGE_MODELS: dict[str, tuple[Callable, dict[str, Any]]] = {
    "resnet, encnet": (RESNET, published_encnet(width=16, num_codewords=4, lateral=True)),
    "resnet, ccnet": (RESNET, published_ccnet(width=16)),
    "jpu, ctnet": (
        lambda: JPUBackbone(RESNET(output_stride=32), width=8),
        published_ctnet(width=16, key_width=8),
    ),
    "van, ccnet": (
        lambda: VAN(widths=(8, 16, 24, 32), depths=(1, 1, 1, 1)),
        published_ccnet(width=16, norm=None),
    ),
    "hrnet, ctnet": (lambda: hrnet(name="hrnet_w18_small"), published_ctnet(width=16, key_width=8)),
}


pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there"),
    pytest.mark.filterwarnings("ignore:The usage of `scatter:UserWarning"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning"),
]


def train_and_validate(network: Network, batch: Any) -> None:
    """Take one training step in mixed precision, and score the batch."""
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad])
    with torch.autocast("cuda", torch.bfloat16):
        output = network.train()(batch)
        losses = LOSS(output.logits, batch.y) | network.head.losses(output, batch)
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()
    matrix = ConfusionMatrix(CLASSES)
    with torch.no_grad():
        matrix.update(best_class(network.eval()(batch).logits), batch.y)
    assert matrix.summed_over_processes().labeled.any()


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "head"), POINT_MODELS)
def test_point_models(backbone: str, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # the emulation does not see into compiled operators
    monkeypatch.setattr(torch_geometric.typing, "WITH_TORCH_SCATTER", False)
    monkeypatch.setattr(segment, "scatter_segment_csr", lambda: None)
    monkeypatch.setattr(triton_conv, "kernels", lambda: None)
    features = FEATURES.get(backbone, ("color", "height"))
    room = with_height(sample_room(600), features)
    grid_pos = group_by_voxel(room.pos, 0.3)
    samples = [room.take(grid_pos.pick(number)) for number in range(2)]
    samples = [replace(sample, grid_pos=grid_pos.grid_pos) for sample in samples]
    with fake_gpu():
        batch = Collate(features=features, grid_size=0.3)([(s, np.random.default_rng(0)) for s in samples])
        network = Network(
            POINT_BACKBONES[backbone], POINT_HEADS[head], in_channels=num_features(features), schema=S3DIS
        ).to("cuda")
        train_and_validate(network, batch.to("cuda"))
        options = PointOptions(points_per_pass=200, margin=0.5)
        prediction = predict_scene(network, room, grid_size=0.3, features=features, options=options)
    assert prediction.confidence.min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_image_models(name: str) -> None:
    backbone, head = IMAGE_MODELS[name]
    with fake_gpu():
        network = Network(backbone(), head_factory(head), in_channels=3, schema=S3DIS).to("cuda")
        batch = ImageBatch(image=torch.randn(2, 3, 64, 64), labels=torch.randint(-1, CLASSES, (2, 64, 64)),
                           names=["a", "b"])  # fmt: skip
        train_and_validate(network, batch.to("cuda"))
        model = ImageModel(
            network=network, normalize=Normalize(mean=(9, 9, 9), std=(1, 1, 1)), crop_size=(64, 64)
        )
        found = model.probabilities(np.zeros((70, 64, 3), np.uint8), ImageOptions(flip=True))
    assert found.sum(0).min() > 0.99


def launch(name: str, grid: Any, x: torch.Tensor, values: Any, strides: Any, **constants: Any) -> None:
    """Compute what the kernels of spconv-triton compute."""
    if name == "_gather_gemm_kernel":
        x, weight, pairs, out = values[:4]
        seen = x[pairs.clamp(min=0).long()].where(pairs[..., None] >= 0, 0)
        out.copy_((seen.float() @ weight.float()).sum(0))
        return
    x, grad, rows, out_rows, first, out = values[:6]
    out.zero_()
    for offset, (start, end) in enumerate(pairwise(first.tolist())):
        out[0, offset] = x[rows[start:end].long()].float().t() @ grad[out_rows[start:end].long()].float()


def test_kernels_of_spconv_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their tables are made on the GPU, and the network computes the same with them."""
    monkeypatch.setattr(triton_conv, "_launch", launch)
    results = []
    for kernels in (None, triton_conv):
        monkeypatch.setattr(triton_conv, "kernels", lambda kernels=kernels: kernels)
        triton_conv.usable.cache_clear()
        torch.manual_seed(0)
        with fake_gpu():
            network = UNET(4).to("cuda")
            voxels = random_voxels([60, 40])
            x = torch.randn(100, 4).to("cuda")
            batch = Batch(x=x, grid_pos=voxels.grid_pos.to("cuda"), ptr=voxels.ptr.to("cuda"))
            out = network(batch)[0].x
            out.square().sum().backward()
            results.append([out, *(p.grad for p in network.parameters())])
    triton_conv.usable.cache_clear()
    for plain, found in zip(*results):
        torch.testing.assert_close(found, plain, rtol=1e-2, atol=1e-3)


def run_training(data: Any, backbone: Any, head: Any, out: Path) -> None:
    """Train one epoch as the command does, with everything that runs beside the network."""
    options = TrainerOptions(
        max_epochs=1, accelerator="gpu", precision="bf16-mixed", gradient_clip_val=1.0, ema_decay=0.9,
        voxel_budget=400, progress_bar=False,
    )  # fmt: skip
    devices = set()

    def watched(*arguments: Any) -> nn.Module:
        module = head(*arguments)
        module.register_forward_hook(lambda module, inputs, output: devices.add(output.logits.device.type))
        return module

    with fake_gpu():
        best = train(data=data, backbone=backbone, head=watched, trainer=options, out=out)
    assert devices == {"cuda"}
    assert all(value.isfinite().all() for value in torch.load(best, weights_only=True)["state_dict"].values())


@pytest.mark.slow
def test_training_of_points(tmp_path: Path) -> None:
    root = write_fake_building(tmp_path / "rooms", num_points=800)
    data = RoomData(root, grid_size=0.3, batch_size=2, loop=1, mix_prob=1.0)
    run_training(data, UNET, POINT_HEADS["encnet"], tmp_path / "run")


@pytest.mark.slow
def test_training_of_images(tmp_path: Path) -> None:
    root = write_room_frames(tmp_path / "frames", rooms={"Area_1": 3})
    data = ImageData(root, dataset="room_frames", crop_size=(32, 40), batch_size=2)
    run_training(data, RESNET(), head_factory(published_ccnet(width=16)), tmp_path / "run")


@pytest.mark.filterwarnings("ignore:GPU available but not used")
def test_a_gpu_without_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "is_bf16_supported", False)
    monkeypatch.setitem(ANSWERS, "get_device_name", "Tesla T4")
    options = partial(TrainerOptions, max_epochs=1, accelerator="gpu", progress_bar=False)
    with fake_gpu():
        with pytest.raises(
            UserError, match=r"trainer.precision: Tesla T4 has no bf16. Use 16-mixed or 32-true."
        ):
            build_trainer(options(precision="bf16-mixed"), tmp_path, [])
        build_trainer(options(precision="16-mixed"), tmp_path, [])
        build_trainer(options(precision="bf16-mixed", accelerator="cpu"), tmp_path, [])


def on(device: str, *shape: int) -> torch.Tensor:
    return torch.ones(*shape, device=device)


ROWS = torch.tensor([0, 1])
MIXED: dict[str, Callable[[], Any]] = {
    "sum": lambda: on("cuda", 3) + on("cpu", 3),
    "weight": lambda: torch.nn.Linear(3, 2)(on("cuda", 4, 3)),
    "index": lambda: on("cuda", 3, 3).index_select(0, ROWS),
    "GPU index": lambda: on("cpu", 3)[ROWS.to("cuda")],
    "result": lambda: torch.mm(on("cuda", 2, 2), on("cuda", 2, 2), out=on("cpu", 2, 2)),
    "scalar in cat": lambda: torch.cat([on("cuda", 1), torch.zeros(1)]),
    "constant of a list": lambda: on("cuda", 2) * torch.tensor([1.0, 2.0]),
    "backward": lambda: Doubled.apply(on("cuda", 2).requires_grad_()).sum().backward(),
    "array": lambda: on("cuda", 2).numpy(),
}
SAME: dict[str, Callable[[], Any]] = {
    "CPU scalar": lambda: on("cuda", 3) + torch.tensor(2.0),
    "CPU index": lambda: on("cuda", 3)[ROWS],
    "copy": lambda: on("cuda", 3).copy_(on("cpu", 3)),
    "moved": lambda: on("cpu", 3).to("cuda") + on("cuda", 3),
    "like": lambda: torch.zeros_like(on("cuda", 3)) + on("cuda", 3).new_tensor([1.0]),
}


class Doubled(torch.autograd.Function):
    """Has a backward pass with a constant on the CPU."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad * torch.tensor([2.0, 2.0])


@pytest.mark.parametrize("name", MIXED)
def test_finds_mixed_devices(name: str) -> None:
    with fake_gpu(), pytest.raises((RuntimeError, TypeError), match="device"):
        MIXED[name]()


@pytest.mark.parametrize("name", SAME)
def test_accepts_what_a_gpu_accepts(name: str) -> None:
    with fake_gpu():
        assert SAME[name]().device.type == "cuda"


def test_finds_a_mix_planted_in_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_conv, "_sorted", lambda x, order: x * torch.ones(x.shape[1]))
    with pytest.raises(RuntimeError, match=r"mul got \(\d+, 4\) on cuda, \(4,\) on cpu"):
        test_point_models("unet", "linear", monkeypatch)


def test_all_bodies_are_covered() -> None:
    made = [head.keywords["body"] for head in POINT_HEADS.values() if isinstance(head, partial)]
    used = {body.func if isinstance(body, partial) else body for body in made}
    known = {
        value for value in vars(heads).values() if isinstance(value, type) and issubclass(value, heads.Body)
    }
    assert known - used == {heads.Body, heads.PointwiseBody}  # the latter is an auxiliary body of images
