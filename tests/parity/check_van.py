"""Our VAN against the official one."""

from types import SimpleNamespace

import torch
from compare import check_module
from golden import Golden
from torch import Tensor, nn

from pcseg.backbones.images.van import VAN
from pcseg.official.names.images import van_names


def check_van(golden: Golden) -> None:
    args = golden.meta["constructor_args"]

    def build(dtype: torch.dtype) -> nn.Module:
        return VAN(
            widths=args["embed_dims"],
            depths=args["depths"],
            mlp_ratios=args["mlp_ratios"],
            drop_path=args["drop_path_rate"],
        )

    def run(backbone: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            f"stage{i + 1}": output
            for i, output in enumerate(backbone(SimpleNamespace(image=inputs["image"])))
        }

    names = van_names(build(torch.float64), golden.section("weight.")).names
    check_module(golden, build, run, names)


CHECKS = {"van_": check_van}
