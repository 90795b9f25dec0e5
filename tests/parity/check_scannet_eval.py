"""Compare our scores with ScanNet's script: exact counts, printed IoUs, and its result file byte by byte."""

import torch
from golden import Golden

from pcseg.data.schemas import SCANNET20, Benchmark
from pcseg.evaluation.tables import scannet_result
from pcseg.metrics.confusion import ConfusionMatrix

NAMES = SCANNET20.names


def printed_table(matrix: ConfusionMatrix) -> str:
    """Return the table that the official script prints: IoU, true positives and union of each class."""
    union = matrix.labeled + matrix.predicted - matrix.correct
    columns = matrix.iou().tolist(), matrix.correct.tolist(), union.tolist()
    rows = [f"{name:<14s}: {iou:>5.3f}   ({n:>6d}/{m:<6d})" for name, iou, n, m in zip(NAMES, *columns)]
    return "\n".join(["classes          IoU", "-" * 28, *rows]) + "\n"


def check_scannet_eval(golden: Golden) -> None:
    benchmark = Benchmark(schema=SCANNET20, ids=tuple(golden.meta["valid_class_ids"]), column="nyu40id")
    matrix = ConfusionMatrix(len(benchmark.ids))
    for scan in range(int(golden["input.num_scans"])):
        ids = (golden[f"input.{key}.{scan}"] for key in ("pred", "gt"))
        matrix.update(*(torch.from_numpy(benchmark.to_labels(each)) for each in ids))
    printed = str(golden["output.stdout"])
    lines = printed_table(matrix).splitlines()
    stop = next((number for number, line in enumerate(lines) if "nan" in line), len(lines))
    assert all(line in printed for line in lines[:stop])
    if golden.meta["return_code"] != 0:  # the script fails at a class without a score; ours is NaN
        assert matrix.absent.any()
        assert matrix.iou()[matrix.absent].isnan().all()
        assert stop < len(lines)
        return
    union = matrix.labeled + matrix.predicted - matrix.correct
    assert torch.equal(matrix.correct, golden.tensor("output.tp"))
    assert torch.equal(union, golden.tensor("output.denominator"))
    torch.testing.assert_close(matrix.iou(), golden.tensor("output.iou_printed"), atol=5.1e-4, rtol=0)
    assert scannet_result(matrix, NAMES, benchmark.ids) == str(golden["output.result_file"])


CHECKS = {"scannet_eval": check_scannet_eval}
