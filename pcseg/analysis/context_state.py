"""What the context module of a trained head does with a cloud, in numbers; and the head without the cloud's context."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pcseg.analysis.explain import Calls, body_maps
from pcseg.heads.ccnet import RCCABody
from pcseg.heads.context import ContextBody
from pcseg.heads.ctnet import CTBody
from pcseg.heads.encnet import EncBody
from pcseg.losses.class_frequency import class_frequency
from pcseg.losses.presence import class_presence
from pcseg.nn.levels import PointBatch
from pcseg.ops.attention_entropy import attention_spread

State = dict[str, np.ndarray]
"""What a context module says of one cloud, by name: vectors and scalars of fixed size, whatever the cloud's."""


def cloud_state(body: ContextBody | None, calls: Calls, batch: PointBatch, num_classes: int) -> State:
    """The state of the context module of ``body`` in a pass over a batch of one cloud; empty for other bodies.

    Args:
        body: Of a trained head.
        calls: Of the modules :func:`pcseg.analysis.explain.watched_parts` in that pass.
        batch: The cloud.
        num_classes: K.

    Returns:
        EncNet: ``channel`` gate (C,), ``occupancy`` mean assignment to each codeword, ``sharpness`` mean largest
        assignment, ``token_norm`` mean norm of what is encoded, ``presence`` predicted (K,), ``present`` true (K,).
        CTNet: ``channel`` gate v (C,), ``class_prob`` p (K,), ``frequency`` true shares (K,) as the CP-loss has
        them, ``affinity`` mean attention to each class (K,), ``largest`` mean largest share of a point's attention.
        CCNet: ``entropy`` of the attention over that of equal attention to all seen, ``largest`` weight, ``seen``
        tokens, ``added`` norm of what a recurrence adds over that of what it is added to; means, one a recurrence.
    """
    if isinstance(body, EncBody):
        maps = body_maps(body, calls)
        state = {
            "channel": maps["channel"],
            "occupancy": maps["assignment"].mean(axis=0),
            "sharpness": maps["assignment"].max(axis=1).mean(),
            "token_norm": calls["encoding"][0][0][0].norm(dim=1).mean().cpu().numpy(),
        }
        if maps["presence"] is not None:
            present = class_presence(batch.y, batch.ptr, num_classes)[0]
            state |= {"presence": maps["presence"], "present": present.cpu().numpy()}
        return state
    if isinstance(body, CTBody):
        maps = body_maps(body, calls)
        return {
            "channel": maps["channel"],
            "class_prob": maps["class_prob"],
            "frequency": class_frequency(batch.y, batch.ptr, num_classes)[0].cpu().numpy(),
            "affinity": maps["affinity"].mean(axis=0),
            "largest": maps["affinity"].max(axis=1).mean(),
        }
    return _attention_state(body, calls) if isinstance(body, RCCABody) else {}


@torch.no_grad()
def _attention_state(body: RCCABody, calls: Calls) -> State:
    rows = []
    for (x, lines), output in calls["attention"]:
        query, key, _ = body.attention.project(x)
        spread = attention_spread(query.float(), key.float(), lines)
        several = spread.seen > 1
        equal = spread.seen[several].log()
        added = (output - x).norm(dim=1) / x.norm(dim=1).clamp(min=1e-12)
        rows.append(
            {
                "entropy": float((spread.entropy[several] / equal).mean()),
                "largest": float(spread.largest.mean()),
                "seen": float(spread.seen.mean()),
                "added": float(added.mean()),
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def parameters_of(body: ContextBody | None) -> dict[str, Any]:
    """Trained numbers of a context module that say what it does; empty for other bodies.

    Returns:
        EncNet: ``smoothing`` factors; ``codeword_norm``, mean norm of the codewords; ``spacing``, mean distance of
        two of them.
        CCNet: ``gamma``.
    """
    if isinstance(body, EncBody):
        layer = body.context.encoding
        codewords = layer.codewords.detach().double()
        count = max(len(codewords) * (len(codewords) - 1), 1)
        norm, spacing = codewords.norm(dim=1).mean(), torch.cdist(codewords, codewords).sum() / count
        smoothing = layer.smoothing.detach().tolist()
        return {"smoothing": smoothing, "codeword_norm": float(norm), "spacing": float(spacing)}
    if isinstance(body, RCCABody):
        return {"gamma": float(body.attention.gamma.detach())}
    return {}


def has_context(body: ContextBody | None) -> bool:
    """Whether :func:`without_own_context` changes anything."""
    return isinstance(body, EncBody | CTBody | RCCABody)


@contextmanager
def without_own_context(body: ContextBody, states: Sequence[State]) -> Iterator[None]:
    """Within, a head does with every cloud what it does on average: no word about the cloud comes through.

    EncNet and CTNet gate the channels by the mean gate of ``states`` (CTNet's p and M follow from it); CCNet adds
    nothing to what attends, γ = 0.

    Args:
        body: Of a trained head.
        states: Those of some clouds, by :func:`cloud_state`.
    """
    if isinstance(body, RCCABody):
        with _gamma(body.attention.gamma, 0.0):
            yield
        return
    assert isinstance(body, EncBody | CTBody), "no context module"
    mean = torch.from_numpy(np.stack([state["channel"] for state in states]).astype(np.float64).mean(axis=0))
    if isinstance(body, EncBody):
        gate, value = body.context.gate, mean.logit(eps=1e-6)
    else:
        gate, value = body.channel_context.gate, mean

    def replace(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return value.to(output).expand_as(output)

    handle = gate.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _gamma(gamma: nn.Parameter, value: float) -> Iterator[None]:
    kept = gamma.detach().clone()
    gamma.data.fill_(value)
    try:
        yield
    finally:
        gamma.data.copy_(kept)
