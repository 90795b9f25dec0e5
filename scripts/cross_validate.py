"""Cross-validate over all areas, as ``pcseg cross-validate`` does."""

import sys

from pcseg.cli import main

if __name__ == "__main__":
    main(["cross-validate", *sys.argv[1:]])
