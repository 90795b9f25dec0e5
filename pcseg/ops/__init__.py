"""Pure functions on tensors: voxel sets, kernel maps, axis lines, group attention, serialization."""
