"""What the checkpoint on a command line was trained on: it decides which command is meant."""

import sys
from itertools import pairwise
from pathlib import Path

import pcseg.cli  # noqa: F401 - first: it silences a warning that torch_geometric raises on import
from pcseg.checkpoint import read_checkpoint
from pcseg.errors import UserError


def names_image_model(args: list[str] | None = None) -> bool:
    """Whether ``--ckpt`` names a model of images; a missing or damaged file is told by the command itself."""
    args = sys.argv[1:] if args is None else args
    values = [after for option, after in pairwise(args) if option == "--ckpt"]
    values += [arg.removeprefix("--ckpt=") for arg in args if arg.startswith("--ckpt=")]
    try:
        return any(read_checkpoint(Path(value))[1].kind == "images" for value in values)
    except UserError:
        return False
