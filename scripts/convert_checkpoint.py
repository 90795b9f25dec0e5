"""Convert published weights for a model: ``python scripts/convert_checkpoint.py IN OUT --config CONFIG``."""

import argparse
from pathlib import Path
from typing import Any

from pcseg.cli import as_dict, make_parser
from pcseg.errors import UserError, exit_on_user_error
from pcseg.official.command import convert_checkpoint
from pcseg.training.train import train


def main(args: list[str] | None = None) -> None:
    """Convert a checkpoint and print a summary."""
    options, changes = _parser().parse_known_args(args)
    summary = convert_checkpoint(
        options.source, options.out, training_config(options.config, changes),
        num_classes=options.num_classes, inflate=options.inflate, partial=options.partial,
    )  # fmt: skip
    print(summary)


def training_config(files: list[Path], changes: list[str]) -> dict[str, Any]:
    """Return the resolved training configuration, with options of its command line, without building anything."""
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: no such configuration. Name a YAML file.")
    parser = make_parser(train)
    parsed = parser.parse_args([*(word for file in files for word in ("--config", str(file))), *changes])
    return as_dict(parser, parsed)


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
        help="training configuration; later files override earlier ones, and options of scripts/train.py, such as "
        "--data.features, override both",
    )
    parser.add_argument("--num_classes", type=int, help="number of classes (default: that of the checkpoint)")
    parser.add_argument(
        "--inflate",
        action="store_true",
        help="convert an image head, also of a checkpoint trained here, for the point head of --config",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="leave out what is missing or of another shape, and accept other options",
    )
    return parser


if __name__ == "__main__":
    exit_on_user_error(main)
