"""Predict the classes of another label set with a model of the indoor taxonomy."""

from copy import copy
from dataclasses import replace

import numpy as np
import torch

from pcseg.checkpoint import LoadedModel
from pcseg.data.indoor import INDOOR, LABEL_SETS, Classes, from_indoor, label_set
from pcseg.errors import UserError


def with_classes(model: LoadedModel, classes: Classes) -> LoadedModel:
    """Return a model whose probabilities are summed over the indoor classes of each class of a label set.

    Raises:
        UserError: The model has not the classes of the indoor taxonomy.

    Convention:
        Classes that the set does not annotate, such as ceilings in ScanNet, are one further column of the logits.
        Points of this column have no class.
    """
    if model.schema.names != INDOOR.names:
        raise UserError(
            f"--classes {classes}: {model.path} has the classes of {model.schema.name}. Leave the option out, or "
            "choose a model of the indoor classes."
        )
    name = label_set(classes)
    schema, target = LABEL_SETS[name], from_indoor(name)[:-1].astype(np.int64)
    columns = schema.num_classes + bool((target < 0).any())
    target = np.where(target < 0, schema.num_classes, target)
    network = copy(model.network)  # shares the weights
    network.merged = torch.eye(columns)[torch.from_numpy(target)]
    return replace(model, network=network, schema=schema)
