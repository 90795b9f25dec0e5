"""The README's commands run as printed, on a small building: only paths and sizes are replaced."""

import os
import shlex
from pathlib import Path

import pytest
from helpers.printed_commands import ROOT, bash_commands, blocks, run_apart

TEXT = (ROOT / "README.md").read_text()

NOT_RUN = {
    "git clone <this repository> pcseg && cd pcseg": "needs the network",
    "source .venv/bin/activate": "the tests run inside",
    "bash scripts/test.sh": "is what runs this test",
}

SMALL = " --trainer.max_epochs 1 --trainer.progress_bar false --data.max_voxels 2000 --data.grid_size 0.2"


def replaced(command: str, work: Path) -> str:
    """The command on small data inside ``work``."""
    fixes = [
        ("bash scripts/quickstart.sh", f"bash scripts/quickstart.sh --rooms 2 --points 8000 --epochs 1 "
                                       f"--data {work}/data --out {work}/runs/quickstart"),
        ("/data/Stanford3dDataset_v1.2_Aligned_Version", f"{work}/data/rooms_raw"),
        ("data/s3dis", f"{work}/data/s3dis"),
        ("configs/s3dis/plain.yaml", f"configs/s3dis/plain.yaml --config configs/s3dis/laptop.yaml "
                                     f"--data.root {work}/data/s3dis --out {work}/runs/s3dis_plain{SMALL}"),
        (" runs/", f" {work}/runs/"),
        (" results/", f" {work}/results/"),
        (" predictions", f" {work}/predictions"),
        (" my_room", f" {work}/my_room"),
        (" conv.json", f" {work}/conv.json"),
        ("--golden DIR", f"--golden {work}/golden -q"),
    ]  # fmt: skip
    for old, new in fixes:
        command = command.replace(old, new)
    return command


def run(command: str) -> str:
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return run_apart(command, env={"PATH": path, "OMP_NUM_THREADS": "2"})


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from helpers.fakes import fake_room

    from pcseg.data.io.ply import write_ply

    folder = tmp_path_factory.mktemp("readme")
    (folder / "golden").mkdir()
    room = fake_room(3)
    columns = dict(zip("xyz", room["pos"].T)) | dict(zip(("red", "green", "blue"), room["color"].T))
    write_ply(folder / "my_room.ply", columns)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="needs the environment that the scripts make")
def test_commands_run_as_printed(work: Path) -> None:
    for command in bash_commands(TEXT):
        if command in NOT_RUN or command.startswith("python scripts/benchmark.py"):
            continue  # benchmarks take minutes; tests/scripts/test_benchmark.py runs the command itself
        run(replaced(command, work))
    assert (work / "my_room.png").stat().st_size > 10_000
    assert (work / "results" / "s3dis_plain" / "results.md").is_file()
    assert len(list((work / "runs" / "quickstart" / "pictures").glob("*.png"))) == 2
    again = run(replaced("bash scripts/quickstart.sh", work))
    assert "this model" in again
    room = next((work / "data" / "rooms" / "Area_5").glob("*.h5"))
    (example,) = blocks(TEXT, "python")
    example = example.replace("data/rooms/Area_5/office_1.h5", str(room))
    example = example.replace("runs/quickstart", f"{work}/runs/quickstart")
    checked = example + "\nassert len(prediction.label) == room.num_points"
    run(shlex.join(["python", "-W", "ignore", "-c", checked]))
