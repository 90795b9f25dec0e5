"""Show a cloud, its prediction and the internals of a head, as ``pcseg visualize`` does."""

import sys

from pcseg.cli import main

if __name__ == "__main__":
    main(["visualize", *sys.argv[1:]])
