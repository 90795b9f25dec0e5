"""Our Utonia against the official one: encoder, decoder, and rotary embeddings alone."""

from functools import partial

import numpy as np
import torch
from check_ptv3 import TOLERANCE, check_published
from golden import Golden

from pcseg.backbones.points.ptv3_rotary import Rotary, RotaryPosition, rotate
from pcseg.inference.encoder import encoder_input, unit_sphere


def check_rope(golden: Golden) -> None:
    """The rotation alone, in the official order of the channels."""
    for number, case in enumerate(golden.meta["cases"]):
        heads, width = case["heads"], case["head_dim"]
        for dtype, suffix in ((torch.float32, ""), (torch.float64, "64")):
            inputs = {key: x.requires_grad_() for key, x in golden.section(f"input.{number}.", dtype).items()}
            module = RotaryPosition(heads * width, heads, Rotary(base=case["base"]))
            assert torch.equal(module.inv_freq, golden.tensor(f"weight.{number}.inv_freq"))
            turns = module.to(dtype)(inputs["xyz"])
            for part, key in ((turns.real, "cos"), (turns.imag, "sin")):
                lo = golden.tensor(f"output.{number}.{key}").view(len(turns), 3, 2, -1)[:, :, 0].flatten(1)
                torch.testing.assert_close(part.detach().float(), lo, rtol=0, atol=1e-6)
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


def check_transform(golden: Golden) -> None:
    """Our input, in the official order of the voxels and with the official members, bit by bit."""
    for number, case in enumerate(golden.meta["cases"]):
        pos, color, normal, draws = (
            golden[f"input.{number}.{name}"] for name in ("coord", "color", "normal", "train_draws")
        )
        scale = case["scale"]
        if case["normalize_coord"]:  # the package scales the unit sphere, too
            pos = unit_sphere(pos)
        options = {"grid_size": 0.01, "scale": scale, "center": case["apply_z_positive"]}
        _, groups = encoder_input(pos, color, normal, **options)
        grid_pos, inverse = golden[f"output.{number}.grid_coord"], golden[f"output.{number}.inverse"]
        ours = np.empty(len(grid_pos), np.int64)  # our voxel of every official one
        ours[inverse] = groups.inverse
        member = np.empty_like(ours)
        member[ours] = draws
        x, made = encoder_input(pos, color, normal, **options, member=member)
        np.testing.assert_array_equal(ours[inverse], made.inverse)
        np.testing.assert_array_equal(made.grid_pos[ours], grid_pos)
        np.testing.assert_array_equal(x[ours, :3], golden[f"output.{number}.coord"])
        np.testing.assert_array_equal(x[ours], golden[f"output.{number}.feat"])
        np.testing.assert_array_equal(x[ours, 3:6], golden[f"output.{number}.color"])
        assert golden[f"output.{number}.offset"].tolist() == [len(x)]


CHECKS = {
    "utonia_transform": check_transform,
    "utonia_enc": partial(check_published, "sonata"),
    "utonia_dec": partial(check_published, "sonata"),
    "utonia_rope": check_rope,
}
