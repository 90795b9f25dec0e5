"""Run the command line as ``python -m pcseg``."""

from pcseg.cli import main

main()
