"""Convert published weights for a model, as ``pcseg convert`` does."""

import sys

from pcseg.cli import main

if __name__ == "__main__":
    main(["convert", *sys.argv[1:]])
