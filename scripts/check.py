"""Check data before training, as ``pcseg check`` does."""

import sys

from pcseg.cli import main

if __name__ == "__main__":
    main(["check", *sys.argv[1:]])
