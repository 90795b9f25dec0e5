"""Code that GPUs run instead of that of CPUs gives the same losses and gradients, on an emulated GPU in float64."""

from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from helpers.dense_conv import random_voxels
from helpers.fake_gpu import fake_gpu
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.data.training_data import TrainingData
from pcseg.heads import CACBody, CTBody, EncBody, LinearHead, PointHead, RCCABody, SlabBody
from pcseg.labels import S3DIS
from pcseg.losses.lovasz import lovasz_softmax
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.metrics.confusion import confusion
from pcseg.network import Network
from pcseg.ops import segment
from pcseg.training.recovery import Recovery
from pcseg.training.trainer import move_averages

CLASSES = S3DIS.num_classes
UNET = partial(SparseUNet, base_channels=8, channels=(16, 16, 16, 16), layers=(1, 1, 1, 1), stem_kernel=5)
PTV3 = partial(
    PTv3, enc_channels=(16, 32), enc_depths=(1, 1), enc_heads=(2, 2), dec_channels=(16,), dec_depths=(1,),
    dec_heads=(2,), strides=(2,), patch_size=24, stem_kernel=3, drop_path=0.0,
)  # fmt: skip
MODELS = {
    "unet, linear": (UNET, LinearHead),
    "unet, ccnet": (UNET, partial(PointHead, level=1, body=partial(RCCABody, width=32))),
    "unet, ctnet": (
        UNET,
        partial(PointHead, level=1, body=partial(CTBody, width=16, class_features="centers")),
    ),
    "unet, encnet": (UNET, partial(PointHead, level=1, body=partial(EncBody, width=16, num_codewords=4))),
    "unet, slab": (UNET, partial(PointHead, level=1, body=partial(SlabBody, width=16))),
    "unet, cac": (UNET, partial(PointHead, level=1, body=partial(CACBody, width=16))),
    "ptv3, linear": (PTV3, LinearHead),
}


def batch_of_clouds() -> Batch:
    """Two clouds with rows in any order, some of them without a label."""
    clouds = []
    for seed in range(2):
        grid_pos = random_voxels([150], edge=9, seed=seed).grid_pos.int()
        grid_pos = grid_pos[torch.randperm(len(grid_pos))]
        x, y = (
            torch.randn(len(grid_pos), 4, dtype=torch.float64),
            torch.randint(-1, CLASSES, (len(grid_pos),)),
        )
        clouds.append(Data(x=x, pos=grid_pos.double(), grid_pos=grid_pos, y=y))
    return Batch.from_data_list(clouds)  # type: ignore[return-value]


def step(network: Network, batch: Any) -> tuple[Tensor, list[Tensor]]:
    """The loss, and the gradient of every parameter."""
    torch.manual_seed(0)
    for module in network.modules():
        if hasattr(module, "rate"):
            module.rate = 0.0  # dropout
    output = network.train()(batch)
    losses = SegmentationLoss(torch.ones(CLASSES))(output.logits, batch.y) | network.head.losses(
        output, batch
    )
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    return total.detach(), [p.grad for p in network.parameters() if p.grad is not None]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_same_losses_and_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "scatter_segment_csr", lambda: None)
    backbone, head = MODELS[name]
    network, batch = Network(backbone, head, in_channels=4, schema=S3DIS).double(), batch_of_clouds()
    for parameter in network.parameters():  # also of what starts at zero
        nn.init.normal_(parameter, std=0.1) if parameter.dim() > 1 else None
    other = deepcopy(network)
    loss, gradients = step(network, batch)
    with fake_gpu():
        moved = TrainingData.transfer_batch_to_device(None, batch.clone(), torch.device("cuda"), 0)  # type: ignore[arg-type]
        assert (moved.x.device.type, moved.ptr.device.type) == ("cuda", "cpu")
        found, of_gpu = step(other.to("cuda"), moved)
        found, of_gpu = found.cpu(), [gradient.cpu() for gradient in of_gpu]
    torch.testing.assert_close(found, loss)
    assert len(of_gpu) == len(gradients)
    for ours, expected in zip(of_gpu, gradients):
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("labels", ["some", "none", "one class"])
def test_lovasz(labels: str) -> None:
    logits = torch.randn(60, 5, dtype=torch.float64, requires_grad=True)
    target = {
        "some": torch.randint(-1, 4, (60,)),
        "none": torch.full((60,), -1),
        "one class": torch.full((60,), 2),
    }[labels]
    expected = lovasz_softmax(logits, target)
    (gradient,) = torch.autograd.grad(expected, logits)
    with fake_gpu():
        on_gpu = logits.detach().to("cuda").requires_grad_()
        loss = lovasz_softmax(on_gpu, target.to("cuda"))
        loss.backward()
        assert on_gpu.grad is not None
        loss, found = loss.detach().cpu(), on_gpu.grad.cpu()
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(found, gradient)


def test_confusion() -> None:
    pred, target = torch.randint(-1, 7, (2, 500))
    target = target.clamp(max=4)
    with fake_gpu():
        found = confusion(pred.to("cuda"), target.to("cuda"), 5).cpu()
    expected = np.zeros((5, 6), int)
    for a, b in zip(pred.tolist(), target.tolist()):
        if b >= 0:
            expected[b, a if 0 <= a < 5 else 5] += 1
    assert found.tolist() == expected.tolist() == confusion(pred, target, 5).tolist()


def test_averages_and_copies_of_all_tensors() -> None:
    averages, current = torch.randn(2, 3, 4, dtype=torch.float64)
    expected = [0.9 * a + 0.1 * b for a, b in zip(averages, current)]
    parts = list(averages.unbind())
    move_averages(0.9, parts, list(current.unbind()))
    torch.testing.assert_close(parts, expected)
    numbers = [torch.tensor(3)]
    move_averages(0.9, numbers, [torch.tensor(8)])
    assert numbers[0] == 8
    norm, recovery = nn.BatchNorm1d(3), Recovery()
    for _ in range(2):  # made, then filled
        norm(torch.randn(5, 3))
        recovery.copy_buffers(norm)
        torch.testing.assert_close(recovery._buffers, list(norm.buffers()))
        assert all(a is not b for a, b in zip(recovery._buffers, norm.buffers()))
