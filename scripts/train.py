"""Train a segmentation model, as ``pcseg train`` does."""

import sys

from pcseg.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
