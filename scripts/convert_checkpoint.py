"""Published weights into a model of ours: ``python scripts/convert_checkpoint.py IN OUT --config CONFIG``."""

import argparse
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from pcseg.checkpoint import ModelCard
from pcseg.cli import as_dict, make_parser
from pcseg.data.training_data import TrainingData
from pcseg.errors import UserError, exit_on_user_error
from pcseg.files import write_text
from pcseg.official.convert import Conversion, convert
from pcseg.training.initial_weights import save_weights
from pcseg.training.train import train

SHOWN = 8
"""Names of a kind on the screen; the report beside the file has all."""


def main(args: list[str] | None = None) -> None:
    """Convert, write the weights and a report of all names, and say what can be done with them."""
    options, changes = _parser().parse_known_args(args)
    config = training_config(options.config, changes)
    conversion = convert(
        options.source, config,
        num_classes=options.num_classes, inflated=options.inflate, partial=options.partial,
    )  # fmt: skip
    report = conversion.report
    origin = f"{conversion.title}: {options.source.name}"
    card, reason = None, "parts of the model are missing"
    if not report.missing and not report.misshapen:
        card, reason = model_card(config, conversion, origin=origin)
    save_weights(options.out, conversion.state, missing=report.missing, origin=origin, card=card)
    names = options.out.with_name(options.out.name + ".txt")
    write_text(names, full_report(conversion))
    print(f"{conversion.title}: {len(report.taken)} tensors taken")
    kinds = {
        "missing here": report.missing,
        "unexpected": report.unexpected,
        "of another shape": report.misshapen,
    }
    for kind, found in kinds.items():
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            print(f"  {len(found)} {kind}: {', '.join(found[:SHOWN])}{more}")
    print(f"wrote {options.out}; start training from it with scripts/train.py --init_from {options.out}")
    print(f"What became of each name: {names}")
    print(f"It can{'' if card else 'not'} be evaluated as it is{'' if card else f' ({reason})'}.")


def training_config(files: list[Path], changes: list[str]) -> dict[str, Any]:
    """The resolved configuration of training, with options of its command line, without building anything."""
    for file in files:
        if not file.is_file():
            raise UserError(f"no configuration at {file}")
    parser = make_parser(train)
    parsed = parser.parse_args([*(word for file in files for word in ("--config", str(file))), *changes])
    return as_dict(parser, parsed)


def model_card(
    config: dict[str, Any], conversion: Conversion, *, origin: str
) -> tuple[dict[str, Any] | None, str]:
    """The card of a whole model, or ``None`` and why there is none: it needs the data of the configuration."""
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
    if data.schema.num_classes != conversion.num_classes:
        raise UserError(
            f"the checkpoint has {conversion.num_classes} classes, the data of --config {data.schema.num_classes} "
            f"({data.schema.name}); name the configuration of its data set, or give --num_classes "
            f"{data.schema.num_classes} --partial to leave its classifier out"
        )
    return card.as_dict(), ""


def full_report(conversion: Conversion) -> str:
    """Every name, by what became of it."""
    report = conversion.report
    lines = [f"{conversion.title}: {len(report.taken)} taken"]
    lines += [f"  {theirs} -> {ours}" for theirs, ours in report.taken.items()]
    for kind, names in (
        ("missing here, keeps its initial values", report.missing),
        ("unexpected, left out", report.unexpected),
        ("of another shape, left out", report.misshapen),
    ):
        lines += [f"{len(names)} {kind}", *(f"  {name}" for name in names)]
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "source",
        type=Path,
        help="checkpoint of CCNet, EncNet, CTNet, VAN, SpUNet, Point Transformer V3, Sonata or Concerto",
    )
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        required=True,
        help="training configuration; a later one overrides, as do options of scripts/train.py, such as "
        "--data.features",
    )
    parser.add_argument("--num_classes", type=int, help="number of classes; the checkpoint's by default")
    parser.add_argument(
        "--inflate",
        action="store_true",
        help="image head (also of our own checkpoints) to the point head of --config",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="leave out what is missing or of another shape, and take weights for other options",
    )
    return parser


if __name__ == "__main__":
    exit_on_user_error(main)
