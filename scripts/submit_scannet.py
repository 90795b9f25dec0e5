"""Write a submission to the ScanNet benchmark, as ``pcseg submit-scannet`` does."""

import sys

from pcseg.cli import main

if __name__ == "__main__":
    main(["submit-scannet", *sys.argv[1:]])
