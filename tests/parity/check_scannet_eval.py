"""Our ScanNet evaluator against the official script: exact counts, printed IoUs, and its result file byte by byte."""

import torch
from golden import Golden

from pcseg.metrics.scannet import matrix_of_ids, printed_table, result_file

NAMES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter",
    "desk", "curtain", "refrigerator", "shower curtain", "toilet", "sink", "bathtub", "otherfurniture",
)  # fmt: skip


def check_scannet_eval(golden: Golden) -> None:
    valid = golden.meta["valid_class_ids"]
    scans = range(int(golden["input.num_scans"]))
    pred, target = ([golden[f"input.{key}.{scan}"] for scan in scans] for key in ("pred", "gt"))
    matrix = matrix_of_ids(pred, target, valid)
    printed = str(golden["output.stdout"])
    lines = printed_table(matrix, NAMES).splitlines()
    stop = next((number for number, line in enumerate(lines) if "nan" in line), len(lines))
    assert all(line in printed for line in lines[:stop])
    if golden.meta["return_code"] != 0:  # it stops at a class without a score; we say that it has none
        assert matrix.absent.any()
        assert matrix.iou()[matrix.absent].isnan().all()
        assert stop < len(lines)
        return
    union = matrix.labeled + matrix.predicted - matrix.correct
    assert torch.equal(matrix.correct, golden.tensor("output.tp"))
    assert torch.equal(union, golden.tensor("output.denominator"))
    torch.testing.assert_close(matrix.iou(), golden.tensor("output.iou_printed"), atol=5.1e-4, rtol=0)
    assert result_file(matrix, NAMES, valid) == str(golden["output.result_file"])


CHECKS = {"scannet_eval": check_scannet_eval}
