"""Our Utonia against the official one: encoder, decoder, and rotary embeddings alone."""

from functools import partial

import torch
from check_ptv3 import TOLERANCE, check_published
from golden import Golden

from pcseg.backbones.points.ptv3_rotary import Rotary, RotaryPosition, rotate


def check_rope(golden: Golden) -> None:
    """The rotation alone, in the official order of the channels."""
    for number, case in enumerate(golden.meta["cases"]):
        heads, width = case["heads"], case["head_dim"]
        for dtype, suffix in ((torch.float32, ""), (torch.float64, "64")):
            inputs = {key: x.requires_grad_() for key, x in golden.section(f"input.{number}.", dtype).items()}
            module = RotaryPosition(heads * width, heads, Rotary(base=case["base"]))
            assert torch.equal(module.inv_freq, golden.tensor(f"weight.{number}.inv_freq"))
            turns = module.to(dtype)(inputs["xyz"])
            rows = module.rows[: heads * width]
            total = torch.zeros((), dtype=dtype)
            for key in "qk":
                paired = inputs[key].flatten(1)[:, rows].view(-1, 1, heads, width)
                found = rotate(paired, turns).flatten(1)[:, rows.argsort()].view(-1, heads, width)
                expected = golden.tensor(f"output.{number}.{key}{suffix}")
                torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[dtype])
                total = total + (found * inputs[f"grad_{key}"]).sum()
            total.backward()
            if dtype == torch.float64:
                for key in ("q", "k", "xyz"):
                    expected = golden.tensor(f"output.{number}.grad_{key}64")
                    torch.testing.assert_close(inputs[key].grad, expected, rtol=1e-9, atol=1e-9)


CHECKS = {
    "utonia_enc": partial(check_published, "sonata"),
    "utonia_dec": partial(check_published, "sonata"),
    "utonia_rope": check_rope,
}
