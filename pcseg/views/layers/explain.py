"""Compute the internal maps of a head in one forward pass, read from the paper modules that ran."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.checkpoint import LoadedModel
from pcseg.errors import UserError
from pcseg.evaluation.comparison import head_name
from pcseg.losses.cloud_classes import class_frequency, class_presence, class_shares
from pcseg.network import Network
from pcseg.nn.channel_context import ChannelContext
from pcseg.nn.criss_cross import CrissCrossAttention
from pcseg.nn.encoding import ContextEncoding
from pcseg.nn.slab_context import SlabContext, slab_means
from pcseg.nn.spatial_context import ClassAttention
from pcseg.ops.attention import Step, effective_attention, effective_reach
from pcseg.ops.slabs import Slabs
from pcseg.views.layers.head_maps import Attended, HeadMaps, SlabShares, TokenGrid


class Pass(NamedTuple):
    """One forward pass: its tokens, the labels of the rows of the logits, ``None`` without labels, and K."""

    grid: TokenGrid
    y: Tensor | None
    num_classes: int


class Call(NamedTuple):
    """Arguments and result of one call of a module."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


def require_comparable(baseline: LoadedModel, model: LoadedModel, **setting: tuple[object, object]) -> None:
    """Raise :class:`UserError` unless two models have the same classes and the same value of a setting."""
    ((name, (theirs, ours)),) = setting.items()
    if theirs != ours:
        raise UserError(
            f"{baseline.path}: has {name} {theirs}, but {model.path} has {ours}. Compare models with the same {name}."
        )
    baseline.schema.require_same(model.schema, this=str(baseline.path), that=str(model.path))


def explain_pass(
    network: Network, batch: Any, *, row: np.ndarray, tokens: Callable[[Any], TokenGrid]
) -> HeadMaps:
    """Run a network once and return the maps of its head.

    ``row`` has the row of the logits that each point reads, ``(N,)``. ``tokens`` is called with the levels of the
    backbone.

    Convention:
        Maps come from the modules of :data:`MAPS_OF`, anywhere in the head, so custom heads that use these
        modules are explained too.
    """
    with torch.inference_mode(), recording(network.head) as calls:
        levels = network.backbone(batch)
        logits = network.calibrated(network.head(levels, batch)).logits
        labeled = bool((batch.y >= 0).any())
        seen = Pass(tokens(levels), batch.y if labeled else None, logits.shape[1])
        maps: dict[str, Any] = {}
        for module, made in calls.items():
            if made:
                maps |= MAPS_OF[type(module)](module, made, seen)
        return HeadMaps(
            head=head_name(network.head),
            row=row,
            probability=logits.float().softmax(1).cpu().numpy(),
            token=seen.grid.token,
            **maps,
        )


@contextmanager
def recording(head: nn.Module) -> Iterator[dict[nn.Module, list[Call]]]:
    """Record the calls of the modules of :data:`MAPS_OF` inside ``head``."""
    calls: dict[nn.Module, list[Call]] = {part: [] for part in head.modules() if type(part) in MAPS_OF}

    def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        calls[module].append(Call(args, kwargs, output))

    handles = [part.register_forward_hook(record, with_kwargs=True) for part in calls]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def channel_maps(module: ChannelContext, calls: list[Call], seen: Pass) -> dict[str, Any]:
    """Return the maps of CTNet's channel context module."""
    call = calls[0]
    gate = module.gate(*call.args, **call.kwargs)[0]
    return {
        "channel": _array(gate),
        "class_prob": _array(call.output.class_prob[0]),
        "frequency": _target(class_frequency, seen),
    }


def affinity_maps(module: ClassAttention, calls: list[Call], seen: Pass) -> dict[str, Any]:
    """Return the maps of the class attention in CTNet's spatial context module."""
    x, class_features, sites = calls[0].args
    features = class_features[0]
    return {
        "affinity": _array(module.affinity(x, class_features, sites)),
        "similarity": {
            "class features": _cosines(features),
            "keys of the classes": _cosines(module.key(features)),
        },
    }


def encoding_maps(module: ContextEncoding, calls: list[Call], seen: Pass) -> dict[str, Any]:
    """Return the maps of EncNet's context encoding module."""
    call = calls[0]
    presence = call.output.presence
    return {
        "assignment": _array(module.encoding.assign(module.project(call.args[0]).float())),
        "smoothing": _array(module.encoding.smoothing.expand(len(module.encoding.codewords))),
        "channel": _array(module.gate(module.encode(*call.args, **call.kwargs))[0].sigmoid()),
        "presence": None if presence is None else _array(presence[0].sigmoid()),
        "present": _target(class_presence, seen),
    }


def attention_maps(module: CrissCrossAttention, calls: list[Call], seen: Pass) -> dict[str, Any]:
    """Return the attention of CCNet; it is computed for one token at a time."""
    steps: list[Step] = []
    for call in calls:
        x, lines, *position = call.args
        query, key, _ = module.project(x, *position)
        query, key = (part.float().unflatten(1, (module.heads, -1)) for part in (query, key))
        steps.append((query, key, lines))
    return {"attend": partial(_attend, steps)}


def slab_maps(module: SlabContext, calls: list[Call], seen: Pass) -> dict[str, Any]:
    """Return the class shares of slabs; axes along which all tokens share a slab are left out, unless all do.

    Convention:
        True shares are means over the tokens of a slab, as those that the head reads.
    """
    if module.content != "shares":
        return {}
    slabs: Sequence[Slabs] = calls[0].args[1]
    tables: Sequence[Tensor] = calls[0].args[2]
    grid, true = seen.grid, None
    if seen.y is not None:
        token = torch.from_numpy(grid.token).to(seen.y.device)
        shares = class_shares(seen.y, token, len(calls[0].output), seen.num_classes)
        true = [_array(means) for means in slab_means(shares, slabs)]
    found = [
        SlabShares(
            axis=along.axis,
            name=grid.axes[along.axis],
            unit=grid.unit,
            start=grid.low[along.axis] + grid.edge[along.axis] * along.level.cpu().numpy(),
            thickness=grid.edge[along.axis],
            slab=along.groups.id.cpu().numpy(),
            predicted=_array(table[:, : seen.num_classes]),
            true=None if true is None else true[number],
        )
        for number, (along, table) in enumerate(zip(slabs, tables))
    ]
    return {"slabs": [shares for shares in found if len(shares.start) > 1] or found}


MAPS_OF: dict[type[nn.Module], Callable[[Any, list[Call], Pass], dict[str, Any]]] = {
    ChannelContext: channel_maps,
    ClassAttention: affinity_maps,
    ContextEncoding: encoding_maps,
    CrissCrossAttention: attention_maps,
    SlabContext: slab_maps,
}
"""Modules that have maps, and how to read them from their calls."""


def _target(of: Callable[[Tensor, Tensor, int], Tensor], seen: Pass) -> np.ndarray | None:
    """Return the training target of predictions for the whole cloud, ``(K,)``; ``None`` without labels."""
    if seen.y is None:
        return None
    return of(seen.y, torch.tensor([0, len(seen.y)], device=seen.y.device), seen.num_classes)[0].cpu().numpy()


def _attend(steps: list[Step], token: int) -> list[Attended]:
    with torch.inference_mode():
        weights = effective_attention(steps, token)
        reached = effective_reach([support for _, _, support in steps], token)
    return [Attended(_array(weight), within.cpu().numpy()) for weight, within in zip(weights, reached)]


def _cosines(features: Tensor) -> np.ndarray:
    unit = F.normalize(features.double(), dim=1)
    return _array(unit @ unit.mT)


def _array(x: Tensor) -> np.ndarray:
    return x.detach().float().cpu().numpy()
