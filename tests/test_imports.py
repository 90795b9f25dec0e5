"""What commands that predict, score or show import: nothing that only training needs, which takes seconds."""

import subprocess
import sys

HEAVY = (
    "lightning",
    "torch_geometric",
    "torchmetrics",
    "torchvision",
    "timm",
    "open3d",
    "viser",
    "pandas",
    "scipy",
)

SHOW = f"""
import sys
import pcseg.checkpoint, pcseg.evaluation.comparison, pcseg.evaluation.points, pcseg.inference.predict_points
import pcseg.views.layers.explain_points, pcseg.views.layers.explain_images
import pcseg.evaluation.images, pcseg.inference.predict_images, pcseg.views.render.side_by_side
import pcseg.views.interactive.browser, pcseg.views.interactive.window
import pcseg.heads.ccnet, pcseg.heads.ctnet, pcseg.heads.encnet, pcseg.backbones.points.sparse_unet
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_what_predicts_needs_nothing_of_training() -> None:
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
