"""Score a model of points or images on a test split: the command ``pcseg evaluate``."""

from pathlib import Path

from pcseg.checkpoint import load_checkpoint
from pcseg.evaluation.images import evaluate_images
from pcseg.evaluation.points import evaluate_points
from pcseg.evaluation.report import Report
from pcseg.files import output_folder
from pcseg.inference.device import choose_device
from pcseg.inference.images import ImageOptions
from pcseg.inference.options import refuse_options
from pcseg.inference.points import Fragments, PointOptions
from pcseg.inference.tta import EvaluationProtocol
from pcseg.values import Meters, NameList, PositiveInt, checked


@checked("--")
def evaluate(
    *,
    ckpt: Path,
    out: Path,
    root: Path | None = None,
    splits: NameList | str | None = None,
    fragments: Fragments = "all",
    points_per_pass: PositiveInt | None = None,
    margin: Meters = 1.0,
    protocol: EvaluationProtocol | None = None,
    tta: bool = False,
    boundary: Meters = 0.05,
    baselines: bool = False,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    device: str = "auto",
    progress_bar: bool = True,
) -> Report:
    """Score a trained model on all points or all labeled pixels of a test split.

    Writes ``OUT/results.json`` and ``OUT/results.md``. For a point model, the predictions of every scene are stored
    in ``OUT/predictions`` in a folder named by checkpoint, options and code, so that an interrupted evaluation
    resumes and other models or options never reuse them.

    Args:
        ckpt: Checkpoint of a point model or an image model.
        out: Folder of results and predictions.
        root: Prepared folder or image data set; default: the training data.
        splits: One area or split, or a list; default: the test splits of training.
        fragments: Points: number of forward passes per scene; ``all`` uses every original point, 1 is the fastest.
        points_per_pass: Points: maximum number of voxels per forward pass; larger scenes are cut into blocks. Default:
            what suits a model that ships with pcseg, otherwise 400,000.
        margin: Points: width in meters of the context around a block.
        protocol: Points: evaluation rules; default: those of the data set. ``scannet`` also writes the result file of
            the benchmark's script.
        tta: Points: average the passes of the protocol's test-time augmentation (S3DIS: 10, ScanNet: 13). The scores
            of the first pass alone are reported too.
        boundary: Points: width in meters of the regions in which boundary IoU is counted; 0 turns it off.
        baselines: Points: score simple baselines too (needs scikit-learn).
        scales: Images: scale factors; probabilities are averaged over them, such as "[0.75, 1, 1.25]".
        flip: Images: also average over the mirrored image.
        device: ``auto``, ``cpu``, ``cuda``, or one of several GPUs such as ``cuda:1``.
        progress_bar: Show progress and remaining time.

    Raises:
        UserError: A checkpoint, folder, scene or image is missing, damaged or empty, a split is unknown or has no
            labels, classes of data and model differ, or an option does not apply to the model.
    """
    model = load_checkpoint(ckpt)
    of_points = {"fragments": fragments, "points_per_pass": points_per_pass, "margin": margin, "protocol": protocol,
                 "tta": tta, "boundary": boundary, "baselines": baselines}  # fmt: skip
    of_images = {"scales": scales, "flip": flip}
    refuse_options(evaluate, model, of_images if model.kind == "points" else of_points)
    model.network.to(choose_device(device))
    chosen = [splits] if isinstance(splits, str) else splits
    with output_folder(out):
        if model.kind == "points":
            options = PointOptions(fragments=fragments, points_per_pass=points_per_pass, margin=margin)
            options = options.for_model(model)
            report = evaluate_points(
                model, out=out, root=root, splits=chosen, options=options, protocol=protocol, tta=tta,
                boundary=boundary, baselines=baselines, progress_bar=progress_bar,
            )  # fmt: skip
        else:
            windows = ImageOptions(scales=scales, flip=flip)
            report = evaluate_images(
                model, root=root, splits=chosen, options=windows, progress_bar=progress_bar
            )
        report.write(out)
    return report
