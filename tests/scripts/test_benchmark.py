"""The benchmark command on small sizes: its rows, and its checks before measuring."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import benchmark
import pytest
import torch
from benchmarks import data, harness, image, prep, throughput

from pcseg.errors import UserError

FIELDS = [
    "case", "ours_s", "other", "other_s", "speedup", "ours_peak_mb", "other_peak_mb", "points", "points_per_s",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _threads_and_rounds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Benchmarks set the number of threads; one round is enough to test them."""
    before, medians = torch.get_num_threads(), harness.interleaved_medians
    monkeypatch.setattr(
        harness, "interleaved_medians", lambda functions, rounds: medians(functions, rounds=1)
    )
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_rows_of_the_image_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "EDGE", 5)
    monkeypatch.setattr(image, "WIDTHS", (16, 64))
    monkeypatch.setattr(
        harness, "peak_mb", lambda function: 1.0
    )  # pytest has threads, which a fork does not copy
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "image", "--json", str(tmp_path / "rows.json")])
    benchmark.main()
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [list(row) for row in rows] == [FIELDS] * 4
    assert [row["case"].split(", features")[0] for row in rows] == [
        "CCNet head, training step", "CCNet head, inference", "EncNet head, training step", "EncNet head, inference",
    ]  # fmt: skip
    for row in rows:
        assert row["speedup"] == pytest.approx(row["other_s"] / row["ours_s"])


@pytest.mark.slow
def test_results_are_compared_before_they_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "EDGE", 5)
    monkeypatch.setattr(image, "WIDTHS", (16, 64))
    monkeypatch.setattr(
        image, "measure", lambda *args, **options: pytest.fail("timed before it was compared")
    )
    attention = image.published_criss_cross
    monkeypatch.setattr(image, "published_criss_cross", lambda module, x: attention(module, x) + 0.1 * x)
    with pytest.raises(AssertionError, match="not close"):
        image.run()


def test_unknown_name_lists_the_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "nothing"])
    with pytest.raises(UserError, match=r"nothing: unknown benchmark\. Choose from .*image"):
        benchmark.main()
    assert set(benchmark.names()) >= {"prep", "data", "conv", "heads", "image", "ptv3", "predict"}
    for name in benchmark.names():
        assert callable(importlib.import_module(f"benchmarks.{name}").run)


@pytest.mark.slow
def test_throughput_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((prep, "NUM_POINTS"), (data, "LOADER_POINTS"), (throughput, "NUM_POINTS")):
        monkeypatch.setattr(module, name, 4_000)
    monkeypatch.setattr(harness, "peak_mb", lambda function: 1.0)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "throughput", "--report", str(tmp_path / "report")])
    benchmark.main()
    rows = json.loads((tmp_path / "report" / "throughput.json").read_text())
    assert [row["case"].split(":")[0] for row in rows] == [
        "preparation",
        "loading",
        "training step",
        "inference",
    ]
    for row in rows:
        assert row["points_per_s"] == pytest.approx(row["points"] / row["ours_s"])
    table = (tmp_path / "report" / "throughput.md").read_text()
    assert "`python scripts/benchmark.py throughput --report" in table
    assert f"| 1 MB | {rows[0]['points_per_s']:,.0f} |" in table


@pytest.mark.slow
def test_peak_memory_is_that_of_the_function_alone() -> None:
    """Memory held or freed before does not count; 40 MB and the tensor objects are allocated."""
    code = (
        "import torch; from benchmarks.harness import peak_mb; held = torch.ones(20 * 2**18);"
        "freed = [torch.ones(1000) for _ in range(20_000)]; del freed;"
        "print(peak_mb(lambda: [torch.ones(1000) for _ in range(10_000)]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(benchmark.__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 38 < float(run.stdout) < 90
