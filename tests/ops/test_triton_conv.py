"""The kernels of spconv-triton against ours in float64 and golden files, and what keeps them from being used."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.dense_conv import random_voxels
from helpers.printed_commands import ROOT

from pcseg.errors import UserError
from pcseg.ops import triton_conv
from pcseg.ops.kernel_lookup import coarsen, submanifold_map

TOLERANCE = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}
PATHS = [ROOT, ROOT / "tests", ROOT / "tests" / "parity"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("spconv_triton") is None, reason="needs pip install pcseg[gpu]")
def test_kernels_on_the_interpreter() -> None:
    golden = sorted((ROOT / "tests" / "golden").glob("sp*.npz"))
    paths = os.pathsep.join([*map(str, PATHS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "helpers" / "triton_on_cpu.py"), *map(str, golden)],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert len(golden) >= 4
    assert report["golden"] > 2 * len(golden), "launches"
    assert len(report["errors"]) == 12
    for case, errors in report["errors"].items():
        assert len(errors) == 3
        assert max(errors) < TOLERANCE[case.split(",")[0]], case


@pytest.mark.parametrize("size", [1, 3, 4, 5, 7])
def test_tables_list_all_pairs(size: int) -> None:
    """Also of rows in any order, and of kernels with more offsets than a mask has bits for."""
    voxels = random_voxels([40, 0, 30])
    maps = [coarsen(voxels, size, 2).kernel_map, coarsen(voxels, size, 2).kernel_map.transposed]
    if size % 2:
        maps.append(submanifold_map(voxels, size))
    for kernel_map in maps:
        table = triton_conv.tables(kernel_map)
        expected = torch.full((kernel_map.volume, kernel_map.num_out), -1)
        order = [
            torch.arange(count) if rows is None else rows
            for rows, count in (
                (kernel_map.in_order, kernel_map.num_in),
                (kernel_map.out_order, kernel_map.num_out),
            )
        ]
        for offset, into in enumerate(kernel_map.neighbors.t().long()):
            (out,) = torch.where(into < kernel_map.num_in)
            expected[offset, order[1][out]] = order[0][into[out]]
        assert torch.equal(table.pairs.long(), expected)
        assert torch.cat(
            [torch.arange(kernel_map.volume)[part] for part, _, _ in table.parts]
        ).tolist() == list(range(kernel_map.volume))
        for part, mask, rows in table.parts:
            bits = (mask.long()[None] >> torch.arange(part.stop - part.start)[:, None]) & 1
            assert torch.equal(bits.bool(), expected[part][:, rows.long()] >= 0)
        into, out, first = table.by_offset
        found = torch.full_like(expected, -1)
        found[torch.arange(kernel_map.volume).repeat_interleave(first.diff()), out.long()] = into.long()
        assert torch.equal(found, expected)
        assert triton_conv.tables(kernel_map) is table, "kept with the map"


@pytest.fixture
def _no_cache():
    triton_conv.kernels.cache_clear()
    yield
    triton_conv.kernels.cache_clear()


def package(folder: Path, version: str, gemm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for spconv-triton before all other packages."""
    implementation = folder / "spconv_triton" / "pytorch" / "_impl"
    implementation.mkdir(parents=True)
    for part in (implementation, implementation.parent, implementation.parent.parent):
        (part / "__init__.py").touch()
    (implementation / "gemm.py").write_text(gemm)
    metadata = folder / f"spconv_triton-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: spconv-triton\nVersion: {version}\n")
    for name in [name for name in sys.modules if name.split(".")[0] == "spconv_triton"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(folder)


KERNELS = "class Kernel:\n    arg_names = []\n    fn = None\nKernel.fn = Kernel\n"
WHOLE = f"{KERNELS}_gather_gemm_kernel = _dweight_masked_kernel = Kernel\n"


@pytest.mark.usefixtures("_no_cache")
@pytest.mark.parametrize(
    ("version", "gemm", "message"),
    [
        ("1.0.3", WHOLE, None),
        ("1.1.0", WHOLE, "spconv-triton 1.1.0 cannot be used (its kernels may have changed)"),
        ("2.0", WHOLE, "spconv-triton 2.0 cannot be used"),
        ("1.0.0", "import triton_is_not_here", "(No module named 'triton_is_not_here')"),
        ("1.0.0", f"{KERNELS}_gather_gemm_kernel = Kernel\n", "has no attribute '_dweight_masked_kernel'"),
        ("1.0.0", "raise RuntimeError('0 active drivers ([]).\\nThere should be one.')", "(0 active drivers ([])."),
    ],
)  # fmt: skip
def test_kernels_that_do_not_fit(
    version: str, gemm: str, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    package(tmp_path, version, gemm, monkeypatch)
    found = [triton_conv.kernels() for _ in range(2)]
    if message is None:
        assert found[0] is not None
        assert not caplog.records
    else:
        assert found == [None, None]
        [record] = caplog.records
        assert message in record.getMessage()
        assert record.getMessage().endswith("Run pip install 'pcseg[gpu]'; plain PyTorch is used.")
        assert "\n" not in record.getMessage()


@pytest.mark.usefixtures("_no_cache")
def test_a_variable_turns_them_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "1.0.0", WHOLE, monkeypatch)
    monkeypatch.setenv("PCSEG_TRITON", "0")
    assert triton_conv.kernels() is None
    monkeypatch.setenv("PCSEG_TRITON", "off")
    triton_conv.kernels.cache_clear()
    with pytest.raises(UserError, match=r"PCSEG_TRITON: off is out of range. Set 0 for plain PyTorch or 1"):
        triton_conv.kernels()


def test_tensors_that_they_do_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not float64, narrow features, no rows, an old GPU, or a CPU."""
    kernel_map = submanifold_map(random_voxels([20]), 3)
    empty = submanifold_map(random_voxels([0]), 3)
    capability = [(8, 0)]
    monkeypatch.setattr(triton_conv, "usable", lambda _: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability[0])

    class OnGPU(torch.Tensor):
        is_cuda = True

    x = torch.randn(20, 16)
    gpu = x.as_subclass(OnGPU)
    assert triton_conv.takes(gpu, 16, kernel_map)
    assert triton_conv.takes(gpu.half(), 16, kernel_map)
    assert not triton_conv.takes(gpu.double(), 16, kernel_map)
    assert not triton_conv.takes(gpu[:, :15], 16, kernel_map)
    assert not triton_conv.takes(gpu, 8, kernel_map)
    assert not triton_conv.takes(gpu[:0], 16, empty)
    assert not triton_conv.takes(x, 16, kernel_map)
    capability[0] = (7, 5)
    assert not triton_conv.takes(gpu, 16, kernel_map)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            RuntimeError("Failed to find C compiler.\nPlease specify via CC"),
            "(Failed to find C compiler. Please specify",
        ),
        (None, "(wrong results)"),
    ],
)
def test_kernels_that_fail(
    failure: Exception | None, message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def launch(*_: object, **__: object) -> None:
        if failure is not None:
            raise failure

    monkeypatch.setattr(triton_conv, "kernels", lambda: triton_conv)
    monkeypatch.setattr(triton_conv, "_launch", launch)
    triton_conv.usable.cache_clear()
    assert not triton_conv.usable(torch.device("cpu"))
    assert not triton_conv.usable(torch.device("cpu"))
    triton_conv.usable.cache_clear()
    [record] = caplog.records
    assert message in record.getMessage()
    assert record.getMessage().endswith("Plain PyTorch is used.")


@pytest.mark.parametrize(
    ("dtype", "precision", "expected"),
    [
        (torch.float32, "ieee", (True, False)),
        (torch.float32, "tf32", (True, True)),
        (torch.float16, "tf32", (False, False)),
    ],
)
def test_tf32_is_used_where_pytorch_uses_it(
    dtype: torch.dtype, precision: str, expected: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}

    class Kernel:
        fn = {(1,): lambda *_, **constants: found.update(constants)}

    kernels = type("Kernels", (), {"kernel": Kernel})
    monkeypatch.setattr(triton_conv, "kernels", lambda: kernels)
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(fp32_precision=precision))
    triton_conv._launch("kernel", (1,), torch.ones(1, dtype=dtype), (), ())
    assert (found["IEEE"], found["ALLOW_TF32"]) == expected


def test_tiles_hold_the_widths_in_fast_memory() -> None:
    assert triton_conv.gemm_tile(16, 24, 2)["BLOCK_N"] == 32
    assert triton_conv.gemm_tile(256, 256, 2)["BLOCK_N"] == 128
    assert triton_conv.gemm_tile(17, 16, 2)["BLOCK_R"] == 32
    assert triton_conv.gradient_tile(96, 32, 2)["BLOCK_C"] == 32
    for channels, width, itemsize in product((16, 32, 96, 512), (16, 32, 96, 512), (2, 4)):
        tile = triton_conv.gemm_tile(channels, width, itemsize)
        used = (tile["BLOCK_M"] + tile["BLOCK_N"]) * tile["BLOCK_R"] * itemsize * tile["num_stages"]
        assert used <= 65536
        tile = triton_conv.gradient_tile(channels, width, itemsize)
        used = (tile["BLOCK_K"] + tile["BLOCK_C"]) * tile["BLOCK_P"] * itemsize * tile["num_stages"]
        assert used <= 65536
