"""Train a segmentation model: ``python scripts/train.py --config configs/rooms/plain.yaml``."""

import torch

from pcseg.cli import run
from pcseg.training.train import train

if __name__ == "__main__":
    # image backbones are made with the configuration
    run(train, pass_config="config", prepare=lambda config: torch.manual_seed(config.seed))
