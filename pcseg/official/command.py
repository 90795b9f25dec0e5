"""Convert published weights to a file for training and, if complete, for evaluation: the command ``pcseg convert``."""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from pcseg.checkpoint import ModelCard
from pcseg.data.training_data import TrainingData
from pcseg.errors import UserError
from pcseg.files import write_text
from pcseg.official.convert import convert, inflate_head
from pcseg.training.initial_weights import save_weights
from pcseg.values import Few, checked


@checked("--")
def convert_checkpoint(
    source: Path,
    out: Path,
    *,
    config: dict[str, Any],
    num_classes: Few | None = None,
    inflate: bool = False,
    partial: bool = False,
) -> str:
    """Convert published weights and return a summary. The outcome of every name is written beside ``out``.

    Args:
        source: Checkpoint of CCNet, EncNet, CTNet, VAN, SpUNet, Point Transformer V3, Sonata, Concerto or Utonia.
        out: File to write.
        config: Resolved training configuration of the model.
        num_classes: Expected number of classes; by default that of the checkpoint.
        inflate: Convert an image head, published or trained here, for the point head of ``config``.
        partial: Skip missing tensors and tensors of another shape, and accept other options.
    """
    read = inflate_head if inflate else convert
    conversion = read(source, config, num_classes=num_classes, partial=partial)
    report = conversion.report
    origin = f"{conversion.title}: {source.name}"
    card, reason = None, "parts of the model are missing"
    if not report.missing and not report.misshapen:
        card, reason = _model_card(config, conversion.num_classes, origin=origin)
    save_weights(out, conversion.state, missing=report.missing, origin=origin, card=card)
    names = out.with_name(f"{out.name}.txt")
    write_text(names, f"{conversion.title}: {report}\n")
    taken, *others = report.summary()
    lines = [f"{conversion.title}: {taken}", *(f"  {line}" for line in others)]
    lines += [
        f"Wrote {out}. Start training from it with --init_from {out}.",
        f"Outcome of every name: {names}",
        *([f"License of the weights: {conversion.license}."] if conversion.license else []),
    ]
    lines.append("It can be evaluated directly." if card else f"It cannot be evaluated directly: {reason}")
    return "\n".join(lines)


def _model_card(
    config: dict[str, Any], num_classes: int | None, *, origin: str
) -> tuple[dict[str, Any] | None, str]:
    """Return the card of a complete model, or ``None`` and the reason: it needs the data of the configuration."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=TrainingData)
    try:
        data = parser.instantiate(parser.parse_object({"data": config["data"]})).data
        fields = data.card()
        card = ModelCard(
            config=config, schema=data.schema.to_json(), in_channels=data.in_channels,
            manifest_hash=data.manifest_hash, seed=0, converted_from=origin, **fields,
        )  # fmt: skip
    except UserError as error:
        return None, str(error)
    if data.schema.num_classes != num_classes:
        raise UserError(
            f"--config: its data has {data.schema.num_classes} classes ({data.schema.name}), the checkpoint has "
            f"{num_classes}. Name the configuration of its data set, or pass --num_classes "
            f"{data.schema.num_classes} --partial to leave the classifier out."
        )
    return card.as_dict(), ""
