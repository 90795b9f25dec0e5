"""Maps of the head of a point model for a cloud."""

from dataclasses import replace

import numpy as np

from pcseg.checkpoint import LoadedModel
from pcseg.data.alignment import Frame, Units, Up
from pcseg.data.io.clouds import Cloud, cloud_frame
from pcseg.data.rooms import with_height
from pcseg.data.scene_batch import scene_batch
from pcseg.data.voxels import group_by_voxel
from pcseg.heads.points import PointHead, token_rows
from pcseg.inference.clouds import make_sample, usable_rows
from pcseg.inference.device import device_of
from pcseg.nn.levels import Level
from pcseg.ops.points import PointSet
from pcseg.views.layers.explain import explain_pass, require_comparable
from pcseg.views.layers.feature_colors import colors_of_rows, principal_colors
from pcseg.views.layers.head_maps import HeadMaps, TokenGrid
from pcseg.views.subject import Subject, make_subject


def explain_cloud(
    model: LoadedModel,
    cloud: Cloud,
    *,
    baseline: LoadedModel | None = None,
    units: Units = "auto",
    up: Up = "auto",
) -> Subject:
    """Predict a cloud and return it as a subject with the maps of the head.

    Raises:
        UserError: The cloud lacks a field that a model needs, or the cloud, ``model`` and ``baseline`` do not fit.

    Convention:
        One pass over the whole cloud with one point per voxel, like prediction with ``fragments=1``, so the context
        is that of the whole scene.
    """
    if cloud.schema is not None:
        cloud.schema.require_same(model.schema, this=str(cloud.source), that=str(model.path))
    rows, left_out = usable_rows(cloud)
    remarks = [*cloud.remarks, *left_out]
    frame = cloud_frame(cloud, rows, units=units, up=up)
    maps, row, colors = _explain(model, cloud, rows, frame, remarks)
    if baseline is not None:
        require_comparable(baseline, model, grid_size=(baseline.grid_size, model.grid_size))
        other, other_row, _ = _explain(baseline, cloud, rows, frame, [])
        first = np.unique(row, return_index=True)[1]  # of two models, one can see the room in other axes
        maps = replace(maps, baseline=other.probability[other_row[first]])
    row_of_all = np.full(len(cloud), -1, dtype=np.int64)
    row_of_all[rows] = row
    maps = replace(maps, row=row_of_all[cloud.finite])
    return replace(
        make_subject(cloud, frame=frame),
        prediction=maps.label,
        confidence=maps.confidence,
        features=colors_of_rows(colors, maps.row),
        schema=model.schema,
        maps=maps,
        remarks=(*remarks, *frame.remarks),
    )


def _explain(
    model: LoadedModel, cloud: Cloud, rows: np.ndarray, frame: Frame, remarks: list[str]
) -> tuple[HeadMaps, np.ndarray, np.ndarray]:
    """Return the maps of the points ``rows``, the row of the logits that each of them reads, and the rows' colors."""
    sample = with_height(make_sample(model, cloud, rows, frame, remarks), model.features)
    if cloud.label is not None:
        sample = replace(sample, label=cloud.label[rows].astype(np.int64))
    groups = group_by_voxel(sample.pos, model.grid_size)
    voxels = replace(sample.take(groups.pick(0)), grid_pos=groups.grid_pos)
    device = device_of(model.network)
    batch = scene_batch(voxels, model.features).to(device)
    head = model.network.head
    level: int = head.level if isinstance(head, PointHead) else 0

    colors: list[np.ndarray] = []

    def tokens(levels: list[Level]) -> TokenGrid:
        colors.append(principal_colors(levels[0].x.float().cpu().numpy()))
        sites = levels[level].sites
        if isinstance(sites, PointSet):  # cells are centered at the lowest coordinates
            edge = sites.cell_size or model.grid_size
            low = sites.pos.amin(0).cpu().numpy() - edge / 2
        else:
            edge = levels[level].stride * model.grid_size
            low = groups.origin * model.grid_size + sites.corner[0].cpu().numpy() * edge
        return TokenGrid(
            token=token_rows(levels, level).cpu().numpy(),
            low=low.tolist(),
            edge=[edge] * 3,
            axes=[f"{axis} of the room" if model.card.room_axes else axis for axis in "xyz"],
            unit="m",
        )

    maps = explain_pass(model.network, batch, row=groups.inverse, tokens=tokens)
    return maps, groups.inverse, colors[0]
