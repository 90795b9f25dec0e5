"""What the head of a trained model does with a cloud or a picture: its inner maps, from one forward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.checkpoint import LoadedModel
from pcseg.data.alignment import IDENTITY, Frame, Units, Up, find_frame
from pcseg.data.io.clouds import Cloud
from pcseg.data.rooms import with_height
from pcseg.data.scene_batch import scene_batch
from pcseg.data.voxels import group_by_voxel
from pcseg.errors import UserError
from pcseg.heads.body import Body
from pcseg.heads.ccnet import RCCABody
from pcseg.heads.ctnet import CTBody
from pcseg.heads.encnet import EncBody
from pcseg.heads.images import ImageHead
from pcseg.heads.points import PointHead, read_back
from pcseg.inference.clouds import make_sample, usable_rows
from pcseg.losses.class_frequency import class_frequency
from pcseg.losses.presence import class_presence
from pcseg.nn.levels import Level
from pcseg.ops.attention_rows import Step, effective_attention, effective_reach
from pcseg.views.layers.head_maps import HeadMaps, Seen

Calls = dict[str, list[tuple[tuple[Any, ...], Any]]]
"""Arguments and result of every call of the modules that are watched."""


@dataclass(frozen=True, kw_only=True)
class ExplainedCloud:
    """``maps`` with a row for every point of the file, the ``frame`` that it was read in, and ``remarks``."""

    maps: HeadMaps
    frame: Frame
    remarks: list[str]


def explain_cloud(
    model: LoadedModel,
    cloud: Cloud,
    *,
    plain: LoadedModel | None = None,
    units: Units = "auto",
    up: Up = "auto",
) -> ExplainedCloud:
    """Show ``cloud`` to a model and keep what its head made on the way.

    Args:
        model: Any trained model of point clouds.
        cloud: The points.
        plain: Another model of the same classes and grid, to compare with.
        units: Unit of the file.
        up: Axis of the file that points up.

    Raises:
        UserError: The cloud lacks a field that a model needs, or ``plain`` does not fit ``model``.

    Convention:
        One pass over the whole cloud, one point a voxel, as prediction with ``fragments=1`` has it: the maps are
        those of the scene, never of a block of it.
    """
    rows, remarks = usable_rows(cloud)
    frame = IDENTITY if cloud.schema is not None else find_frame(cloud.pos[rows], units=units, up=up)
    maps, row = _explain_points(model, cloud, rows, frame, remarks)
    if plain is not None:
        if plain.grid_size != model.grid_size:
            raise UserError(
                f"{plain.path}: has voxels of {plain.grid_size} m, {model.path} of {model.grid_size} m; compare "
                "models of one grid"
            )
        plain.schema.require_same(model.schema, this=str(plain.path), that=str(model.path))
        maps = replace(maps, plain=_explain_points(plain, cloud, rows, frame, [])[0].probability)
    everywhere = np.full(len(cloud), -1, dtype=np.int64)
    everywhere[rows] = row
    remarks += frame.remarks
    return ExplainedCloud(maps=replace(maps, row=everywhere), frame=frame, remarks=remarks)


def _explain_points(
    model: LoadedModel, cloud: Cloud, rows: np.ndarray, frame: Frame, remarks: list[str]
) -> tuple[HeadMaps, np.ndarray]:
    """Maps of the points ``rows`` and the row of the logits of each of them."""
    sample = with_height(make_sample(model, cloud, rows, frame, remarks))
    if cloud.label is not None and cloud.schema is not None and cloud.schema.names == model.schema.names:
        sample = replace(sample, label=cloud.label[rows].astype(np.int64))
    groups = group_by_voxel(sample.pos, model.grid_size)
    shown = replace(sample.take(groups.pick(0)), grid_pos=groups.grid_pos)
    device = next(model.network.parameters()).device
    batch = scene_batch(shown, model.features).to(device)
    head = model.network.head
    level = head.level if isinstance(head, PointHead) else 0

    def tokens(levels: list[Level]) -> np.ndarray:
        return read_back(levels, level, 0, torch.arange(len(levels[level].x), device=device)).cpu().numpy()

    return maps_of_pass(model, batch, row=groups.inverse, tokens=tokens), groups.inverse


def maps_of_pass(
    model: LoadedModel, batch: Any, *, row: np.ndarray, tokens: Callable[[Any], np.ndarray]
) -> HeadMaps:
    """Maps of one pass of a model, of clouds or of images.

    Args:
        model: Any trained model; it is left in evaluation mode.
        batch: One cloud or one picture, where the model is.
        row: Row of the logits that each point reads, ``(N,)``.
        tokens: Called with what the backbone returns; the token of each row of the logits, ``(V,)``.
    """
    head = model.network.head
    body = head.body if isinstance(head, PointHead | ImageHead) else None
    parts = watched_parts(body) | {"backbone": model.network.backbone}
    model.network.eval()
    with torch.inference_mode(), watching(parts) as calls:
        logits = model.network(batch).logits
        maps = HeadMaps(
            head=type(head if body is None else body).__name__,
            row=row,
            probability=logits.float().softmax(1).cpu().numpy(),
            token=tokens(calls["backbone"][0][1]),
        )
        if body is None:
            return maps
        return replace(maps, **body_maps(body, calls), **truth_maps(body, batch.y, logits.shape[1]))


@contextmanager
def watching(parts: dict[str, nn.Module]) -> Iterator[Calls]:
    """Record what the named modules are called with and return."""
    calls: Calls = {name: [] for name in parts}

    def record(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls[name].append((args, output))

    handles = [part.register_forward_hook(partial(record, name)) for name, part in parts.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def watched_parts(body: Body | None) -> dict[str, nn.Module]:
    """The modules of a body whose calls :func:`body_maps` needs."""
    if hasattr(body, "channel_context"):
        channels, spatial = body.channel_context, body.spatial_context
        parts: dict[str, nn.Module] = {} if spatial is None else {"classes": spatial.attention}
        return parts if channels is None else parts | {"gate": channels.gate, "channels": channels}
    if isinstance(body, EncBody):
        context = body.context
        return {"gate": context.gate, "context": context, "encoding": context.encoding}
    return {"attention": body.attention} if isinstance(body, RCCABody) else {}


def body_maps(body: Body, calls: Calls) -> dict[str, Any]:
    """Fields of :class:`HeadMaps` from the calls of :func:`watched_parts` during a pass over one cloud."""
    if hasattr(body, "channel_context"):
        return _ct_maps(body, calls)
    if isinstance(body, EncBody):
        (tokens, *_), _ = calls["encoding"][0]
        presence = calls["context"][0][1].presence
        return {
            "assignment": _array(body.context.encoding.assign(tokens)),
            "smoothing": _array(body.context.encoding.smoothing),
            "channel": _array(calls["gate"][0][1][0].sigmoid()),
            "presence": None if presence is None else _array(presence[0].sigmoid()),
        }
    if isinstance(body, RCCABody):
        steps: list[Step] = []
        for (x, lines), _ in calls["attention"]:
            query, key, _ = body.attention.project(x)
            steps.append((query.float(), key.float(), lines))
        return {"attend": partial(_attend, steps)}
    return {}


def _ct_maps(body: CTBody, calls: Calls) -> dict[str, Any]:
    """Maps of both context modules, or of the one that is there."""
    maps: dict[str, Any] = {}
    if body.channel_context is not None:
        prob = calls["channels"][0][1].class_prob[0]
        maps |= {"channel": _array(calls["gate"][0][1][0]), "class_prob": _array(prob)}
    if body.spatial_context is not None:
        attention = body.spatial_context.attention
        (x, class_features, sites), _ = calls["classes"][0]
        features = class_features[0]
        maps["affinity"] = _array(attention.affinity(x, class_features, sites))
        maps["similarity"] = {
            "class features": _cosines(features),
            "keys of the classes": _cosines(attention.key(features)),
        }
    return maps


def truth_maps(body: Body, y: Tensor, num_classes: int) -> dict[str, Any]:
    """What class probabilities and presence of one cloud were trained towards; nothing without labels."""
    if not bool((y >= 0).any()):
        return {}
    ptr = torch.tensor([0, len(y)], device=y.device)
    if hasattr(body, "channel_context") and body.channel_context is not None:
        return {"frequency": _array(class_frequency(y, ptr, num_classes)[0])}
    if isinstance(body, EncBody):
        return {"present": class_presence(y, ptr, num_classes)[0].bool().cpu().numpy()}
    return {}


def _attend(steps: list[Step], token: int) -> list[Seen]:
    with torch.inference_mode():
        shares = effective_attention(steps, token)
        reached = effective_reach([support for _, _, support in steps], token)
    return [Seen(_array(share), within.cpu().numpy()) for share, within in zip(shares, reached)]


def _cosines(features: Tensor) -> np.ndarray:
    unit = F.normalize(features.double(), dim=1)
    return _array(unit @ unit.mT)


def _array(x: Tensor) -> np.ndarray:
    return x.detach().float().cpu().numpy()
