"""Score a model on a test split, or predictions on labeled files: the command ``pcseg evaluate``."""

from pathlib import Path

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.indoor import Classes
from pcseg.errors import UserError
from pcseg.evaluation.images import evaluate_images
from pcseg.evaluation.labeled_files import evaluate_files
from pcseg.evaluation.points import evaluate_points
from pcseg.evaluation.report import Report
from pcseg.files import output_folder
from pcseg.inference.device import Precision, choose_device
from pcseg.inference.images import ImageOptions
from pcseg.inference.options import refuse_options
from pcseg.inference.points import Fragments, PointOptions
from pcseg.inference.tta import EvaluationProtocol
from pcseg.pretrained import DEFAULT
from pcseg.values import Meters, NameList, PositiveInt, checked


@checked("--")
def evaluate(
    files: list[Path] | None = None,
    *,
    out: Path,
    ckpt: Path | None = None,
    prediction: Path | None = None,
    labels: str | None = None,
    classes: Classes | None = None,
    columns: str | None = None,
    root: Path | None = None,
    splits: NameList | str | None = None,
    fragments: Fragments | None = None,
    points_per_pass: PositiveInt | None = None,
    margin: Meters = 1.0,
    protocol: EvaluationProtocol | None = None,
    tta: bool = False,
    boundary: Meters = 0.05,
    baselines: bool = False,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    device: str = "auto",
    precision: Precision = "fp32",
    progress_bar: bool = True,
) -> Report:
    """Score a trained model on all points or all labeled pixels of a test split, or on labeled files.

    Writes ``OUT/results.json`` and ``OUT/results.md``. For a point model on prepared data, the predictions of every
    scene are stored in ``OUT/predictions`` in a folder named by checkpoint, options and code, so that an interrupted
    evaluation resumes and other models or options never reuse them.

    Args:
        files: Point clouds with a label per point, in any format that predict reads; default: a split of prepared data.
        out: Folder of results and predictions.
        ckpt: Checkpoint of a point model or an image model; default for files: indoor-small, which ships with pcseg.
        prediction: Files: what predict wrote, a file or a folder, instead of a model.
        labels: Files: YAML file with the class of every label, or the label set that the labels number: s3dis, scannet,
            indoor or coarse. Labels that are class names need none.
        classes: Files: label set of the scores; default: the classes of the predictions.
        columns: Files: names of all columns in order, such as x,y,z,red,green,blue,label; - ignores a column.
        root: Prepared folder or image data set; default: the training data.
        splits: One area or split, or a list; default: the test splits of training.
        fragments: Points: number of points per voxel that the model sees; 1 is the fastest, ``all`` uses every point.
            Default: ``all``, for files 1.
        points_per_pass: Points: maximum number of voxels per forward pass; larger scenes are cut. Default: twice
            the crops of training for heads with context, otherwise 400,000.
        margin: Points: width in meters of the context around a block, for heads without context.
        protocol: Points: evaluation rules; default: those of the data set. ``scannet`` also writes the result file of
            the benchmark's script.
        tta: Points: average the passes of the protocol's test-time augmentation (S3DIS: 10, ScanNet: 13). The scores
            of the first pass alone are reported too.
        boundary: Points: width in meters of the regions in which boundary IoU is counted; 0 turns it off.
        baselines: Points: score simple baselines too (needs scikit-learn).
        scales: Images: scale factors; probabilities are averaged over them, such as "[0.75, 1, 1.25]".
        flip: Images: also average over the mirrored image.
        device: ``auto``, ``cpu``, ``cuda``, or one of several GPUs such as ``cuda:1``.
        precision: Arithmetic of the model. ``bf16``, ``fp16`` and ``tf32`` are for GPUs.
        progress_bar: Show progress and remaining time.

    Raises:
        UserError: A checkpoint, folder, scene or image is missing, damaged or empty, a split is unknown or has no
            labels, classes of data and model differ, or an option does not apply to the model.
    """
    of_files = {"prediction": prediction, "labels": labels, "classes": classes, "columns": columns}
    of_data = {"root": root, "splits": splits}
    of_rooms = {"protocol": protocol, "tta": tta, "boundary": boundary, "baselines": baselines}
    of_passes = {"fragments": fragments, "points_per_pass": points_per_pass, "margin": margin}
    of_images = {"scales": scales, "flip": flip}
    points = PointOptions(
        fragments=fragments or (1 if files else "all"),
        points_per_pass=points_per_pass,
        margin=margin,
        precision=precision,
    )
    if files:
        refuse_options(evaluate, "labeled files", of_data | of_rooms | of_images)
        if prediction is not None:
            refuse_options(
                evaluate, "--prediction", {"ckpt": ckpt, "device": device, "precision": precision} | of_passes
            )
        report = evaluate_files(
            files, prediction or _load(ckpt or DEFAULT, device, precision), labels=labels, classes=classes,
            columns=columns, options=points, progress_bar=progress_bar,
        )  # fmt: skip
        with output_folder(out):
            report.write(out)
        return report
    refuse_options(evaluate, "prepared data", of_files)
    if ckpt is None:
        raise UserError("--ckpt: is missing. Give the checkpoint of a model, or labeled files.")
    model = _load(ckpt, device, precision)
    refuse_options(evaluate, model, of_images if model.kind == "points" else of_rooms | of_passes)
    chosen = [splits] if isinstance(splits, str) else splits
    with output_folder(out):
        if model.kind == "points":
            report = evaluate_points(
                model, out=out, root=root, splits=chosen, options=points.for_model(model), protocol=protocol, tta=tta,
                boundary=boundary, baselines=baselines, progress_bar=progress_bar,
            )  # fmt: skip
        else:
            windows = ImageOptions(scales=scales, flip=flip, precision=precision)
            report = evaluate_images(
                model, root=root, splits=chosen, options=windows, progress_bar=progress_bar
            )
        report.write(out)
    return report


def _load(ckpt: Path, device: str, precision: Precision) -> LoadedModel:
    model = load_checkpoint(ckpt)
    model.network.to(choose_device(device, precision))
    return model
