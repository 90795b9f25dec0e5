"""Score predictions on labeled files of any format."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from pcseg.checkpoint import LoadedModel
from pcseg.data.indoor import LABEL_SETS, Classes, label_set
from pcseg.data.io.clouds import Cloud, from_table, is_prepared, read_cloud, read_table
from pcseg.data.io.columns import label_columns
from pcseg.data.predictions import SavedPrediction, find_prediction, read_prediction
from pcseg.errors import UserError
from pcseg.evaluation.class_maps import LabelMap, class_numbers, map_labels, read_label_map
from pcseg.evaluation.report import Report
from pcseg.inference.class_sets import with_classes
from pcseg.inference.clouds import predict_cloud
from pcseg.inference.memory import choose_tiles, physical_memory
from pcseg.inference.points import PointOptions
from pcseg.metrics.calibration import calibration_scores
from pcseg.metrics.confusion import ConfusionMatrix, confusion


def evaluate_files(
    files: Sequence[Path],
    predictor: LoadedModel | Path,
    *,
    labels: str | None,
    classes: Classes | None,
    columns: str | None,
    options: PointOptions,
    progress_bar: bool,
) -> Report:
    """Score a model, or the predictions in a file or folder, on files with a label per point.

    See :func:`pcseg.evaluation.evaluate.evaluate` for the arguments.

    Raises:
        UserError: A file or its prediction is missing, damaged or too large, they do not belong together, or a label or
            class is unknown.
    """
    given = None if labels is None else read_label_map(labels)
    schema = None if classes is None else LABEL_SETS[label_set(classes)]
    if isinstance(predictor, LoadedModel):
        predictor = predictor if classes is None else with_classes(predictor, classes)
        options = options.for_model(predictor)
    counts, confidences, hits, checkpoints = [], [], [], set()
    for path in track(files, "files", console=Console(stderr=True, quiet=not progress_bar)):
        cloud, column, meaning = read_labeled(path, given, columns)
        found = predictor if isinstance(predictor, LoadedModel) else read_stored(predictor, cloud)
        schema = schema or found.schema
        if classes is None:
            schema.require_same(found.schema, this="the first prediction", that=f"that of {path}")
        label = map_labels(column, meaning, schema, source=path)
        if isinstance(found, LoadedModel):
            found = predict_cloud(found, cloud, options=options)
        predicted = class_numbers(found.schema.names, schema, source=f"the prediction of {path}")[found.label]
        counts.append(confusion(torch.from_numpy(predicted), torch.from_numpy(label), schema.num_classes))
        checkpoints.add(found.checkpoint or "not stated")
        scored = (label >= 0) & (predicted >= 0)
        if found.schema.names == schema.names:  # otherwise confidences are those of other classes
            confidences.append(found.confidence[scored])
            hits.append((predicted == label)[scored])
    assert schema is not None, "no files"
    rooms = torch.stack(counts)
    return Report(
        provenance={
            "release": "labeled files",
            "splits": [path.name for path in files],
            "points": int(rooms.sum()),
            "checkpoint": sorted(checkpoints),
            "precision": options.precision if isinstance(predictor, LoadedModel) else "not stated",
            "labels": labels,
            "schema": schema.name,
            "classes": list(schema.names),
        },
        names=schema.names,
        matrix=ConfusionMatrix(schema.num_classes, rooms.sum(0)),
        rooms=rooms,
        calibration=calibration_scores(np.concatenate(confidences), np.concatenate(hits))
        if confidences
        else None,
    )


def read_labeled(
    path: Path, given: LabelMap | None, columns: str | None
) -> tuple[Cloud, np.ndarray, LabelMap | None]:
    """Return the points of a file, the labels in it, and what they mean.

    Raises:
        UserError: The file cannot be read, has no labels, or exceeds the memory.
    """
    if choose_tiles(path, physical_memory(), columns=columns):
        raise UserError(f"{path}: too large for the memory of this machine. Cut it, and evaluate the parts.")
    if columns is None and path.is_file() and is_prepared(path):
        cloud = read_cloud(path)
        assert cloud.label is not None, "prepared scenes have labels"
        assert cloud.schema is not None, "prepared scenes have classes"
        numbers = {str(number): name for number, name in enumerate(cloud.schema.names)}
        return cloud, cloud.label, LabelMap(names=numbers, source=str(path))
    table = read_table(path, columns=columns)
    found = label_columns(table.columns)
    name = given.column if given is not None and given.column is not None else found[0] if found else "label"
    if name not in table.columns:
        raise UserError(
            f"{path}: no column of labels (columns: {', '.join(table.columns)}). Name it label with "
            "--columns, or as fields.label in the file of --labels."
        )
    return from_table(table, path), table.columns[name], given


def read_stored(path: Path, cloud: Cloud) -> SavedPrediction:
    """Return the prediction of a cloud in a file or folder.

    Raises:
        UserError: There is none, or it belongs to another file.
    """
    file, source = find_prediction(path, cloud.source), cloud.source
    saved = read_prediction(file)
    name = Path(saved.source)
    if not {name.name, name.stem} & {source.name, source.stem}:
        raise UserError(
            f"{file}: is the prediction of {saved.source}, not of {source}. Pass that of this file."
        )
    if len(saved.label) != len(cloud):
        raise UserError(
            f"{file}: has {len(saved.label):,} points, but {source} has {len(cloud):,}. Predict this file again."
        )
    return saved
