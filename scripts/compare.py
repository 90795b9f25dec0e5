"""Compare point and image models on unseen rooms, as ``pcseg compare`` does."""

import sys

from pcseg.cli import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
