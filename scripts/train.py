"""Train a segmentation model: ``python scripts/train.py --config configs/rooms/plain.yaml``."""

from pcseg.cli import run
from pcseg.train import train

if __name__ == "__main__":
    run(train, pass_config="config")
