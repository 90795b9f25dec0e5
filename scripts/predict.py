"""Predict a point cloud or an image, as ``pcseg predict`` does."""

import sys

from pcseg.cli import main

if __name__ == "__main__":
    main(["predict", *sys.argv[1:]])
