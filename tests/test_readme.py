"""The README's commands run as printed, on a small building: only paths and sizes are replaced."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

NOT_RUN = {
    "git clone <this repository> pcseg && cd pcseg": "needs the network",
    "source .venv/bin/activate": "the tests run inside",
    "bash scripts/test.sh": "is what runs this test",
}

SMALL = " --trainer.max_epochs 1 --trainer.progress_bar false --data.max_voxels 2000 --data.grid_size 0.2"


def readme_commands() -> list[str]:
    """Every line of the README's bash blocks, without comments."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = [re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


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


def run(command: str, work: Path) -> str:
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fakes import fake_room

    from pcseg.data.ply import write_ply

    folder = tmp_path_factory.mktemp("readme")
    (folder / "golden").mkdir()
    room = fake_room(3)
    columns = dict(zip("xyz", room["pos"].T)) | dict(zip(("red", "green", "blue"), room["color"].T))
    write_ply(folder / "my_room.ply", columns)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="needs the environment that the scripts make")
def test_commands_run_as_printed(work: Path) -> None:
    for command in readme_commands():
        if command in NOT_RUN or command.startswith("python scripts/benchmark.py"):
            continue  # benchmarks take minutes; tests/scripts/test_benchmark.py runs the command itself
        run(replaced(command, work), work)
    assert (work / "my_room.png").stat().st_size > 10_000
    assert (work / "results" / "s3dis_plain" / "results.md").is_file()
    assert len(list((work / "runs" / "quickstart" / "pictures").glob("*.png"))) == 2
    again = run(replaced("bash scripts/quickstart.sh", work), work)
    assert "this model" in again
    room = next((work / "data" / "rooms" / "Area_5").glob("*.h5"))
    example = python_example().replace("data/rooms/Area_5/office_1.h5", str(room))
    example = example.replace("runs/quickstart", f"{work}/runs/quickstart")
    run(
        shlex.join(
            ["python", "-W", "ignore", "-c", example + "\nassert len(prediction.label) == room.num_points"]
        ),
        work,
    )


def python_example() -> str:
    """The README's block of Python."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert block is not None
    return block[1]
