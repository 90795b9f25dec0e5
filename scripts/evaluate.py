"""Score a model on a test split, as ``pcseg evaluate`` does."""

import sys

from pcseg.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
