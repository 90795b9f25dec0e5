"""Functions on tensors: voxel sets, kernel maps, axis lines, group attention, space-filling curves."""
