"""ImageNet weights for the image backbones, from files and from timm's hub."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.official.files import read_weights
from pcseg.official.head_names import Names
from pcseg.official.loading import load_official


def timm_weights(name: str) -> dict[str, Tensor]:
    """Weights that timm downloads for its model ``name``.

    Raises:
        UserError: timm has none, or there is no way to its hub.
    """
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url or config.file):
        raise UserError(f"timm has no weights for {name}; name a file as backbone.pretrained")
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # whatever the hub's client raises without a network
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"timm's weights for {name} cannot be had ({reason[:120]}); name a file instead"
        ) from error


def load_pretrained(
    model: nn.Module,
    weights: Mapping[str, Tensor] | Path,
    names: Callable[[Mapping[str, Any]], Names],
    *,
    ignored: tuple[str, ...],
) -> None:
    """Fill a backbone with the weights of a classification network.

    Args:
        model: The backbone, changed in place.
        weights: By published names, or the file that has them.
        names: Published names of modules to ours, given the weights.
        ignored: Prefixes of the classifier's names.

    Raises:
        UserError: Anything else than the classifier is missing, left over or of another shape.
    """
    source = f"{weights}" if isinstance(weights, Path) else "timm's weights"
    state = read_weights(weights) if isinstance(weights, Path) else weights
    state = {name: tensor for name, tensor in state.items() if not name.startswith(ignored)}
    try:
        report = load_official(model, state, names(state))
    except UserError as error:
        reason = str(error).removeprefix("checkpoint: ")
        raise UserError(f"{source}: not the weights of this backbone; {reason}") from error
    for kind, found in (("missing", report.missing), ("unexpected", report.unexpected)):
        if found:
            some = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
            raise UserError(f"{source}: not the weights of this backbone; {kind}: {some}")
