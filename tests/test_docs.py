"""Every command and Python example of the README and of docs/ runs as printed, on small data."""

import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.checkpoints import write_checkpoint
from helpers.clouds_on_disk import NAMES, own_room, write_own_folder, write_own_ply
from helpers.fake_images import fake_picture, save, write_images
from helpers.fakes import write_fake_building
from helpers.printed_commands import ROOT, all_commands, bash_commands, blocks, run_apart
from helpers.raw_rooms import write_raw_building
from helpers.raw_scans import write_release

from pcseg import load_checkpoint, read_cloud
from pcseg.cli import main

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

NOT_RUN = {
    "git clone": "needs a network",
    "pip install": "needs a network",
    "sudo ": "changes the system",
    "source ": "changes the shell",
    "jupyter ": "waits for a user",
    "mkdocs serve": "waits for a user",
    "bash scripts/quickstart": "test_quickstart runs it",
    "bash scripts/test.sh": "runs these tests",
    "bash scripts/gpu_check.sh": "needs a GPU; tests/scripts/test_gpu_check.py runs it on a CPU",
    "torchrun ": "starts several processes; tests/training/test_train_norms.py starts two",
    "srun ": "needs SLURM; tests/training/test_train.py starts two tasks",
    "pcseg train --config s3dis/encnet --data.root data/s3dis --trainer.devices": "tests/training/test_train.py",
    "pip download": "needs a network",
    "WHEELS=wheels bash scripts/gpu_check.sh": "needs a GPU",
    "python scripts/benchmark.py": "tests/scripts/test_benchmark.py runs it",
    "python -m benchmarks.tiles": "takes minutes; tests/inference/test_tiles.py predicts tiles",
    "python scripts/study.py": "tests/studies/test_study.py runs it",
    "python scripts/studies/rotated_rooms.py": "tests/studies/test_rotated_rooms.py runs it",
    "python scripts/studies/rotated_lines.py": "tests/studies/test_rotated_lines.py calls its parts",
    "python -m pcseg NAME": "a pattern",
    "python scripts/why_context.py": "removed when its question was answered; its page stays",
    "python scripts/studies/codewords.py": "tests/studies/test_codewords.py runs it",
    "python scripts/studies/kills.py": "removed when its question was answered; its page stays",
    "pcseg prepare folder raw/": "needs generated scans; tests/data_prep/test_buildings.py prepares some",
    "pcseg train --config rooms/encnet --data.root data/indoor": "needs generated scans",
    "pcseg train --config indoor/finetune": "tests/test_configs.py trains two steps",
    "pcseg calibrate CKPT": "a pattern",
    "bash scripts/pretrain.sh": "takes hours; tests/test_pretrained.py calibrates and releases a model",
    "python scripts/studies/shifts.py": "tests/studies/test_shifts.py runs it",
    "python scripts/unseen_families.py": "trains for hours",
    "python scripts/fine_tuning.py": "trains for an hour",
    "python -m data_prep.": "named in a sentence without its arguments",
    "pytest ": "part of this suite",
    "pcseg convert": "needs published weights; tests/official/test_convert_command.py runs it",
    "pcseg cross-validate": "trains six times; tests/evaluation/test_cross_validation.py runs it",
    "pcseg submit-scannet": "needs all scans; tests/evaluation/test_submission.py runs it",
}
"""Beginnings of commands that this test leaves out."""

NEEDS_WEIGHTS = ("--init_from weights/", "pretrained weights/", "utonia")
MAKES_PICTURE = "--png docs/"  # tests/test_doc_pictures.py runs these

TRAINER = "--trainer.max_epochs 1 --trainer.progress_bar false --trainer.accelerator cpu --trainer.precision 32-true"
POINTS = "--data.max_voxels 500 --data.grid_size 0.3 --data.loop 1 --data.batch_size 2 --data.num_workers 0"
IMAGES = "--data.crop_size [32,32] --data.base_size 64 --data.batch_size 2 --data.num_workers 0"


def is_run(command: str) -> bool:
    return not (
        command.startswith(tuple(NOT_RUN))
        or MAKES_PICTURE in command
        or any(words in command for words in NEEDS_WEIGHTS)
    )


def commands_of(page: Path) -> list[str]:
    return [command for command in all_commands(page.read_text()) if is_run(command)]


RUN = [page for page in PAGES if commands_of(page) and page.name not in ("extending.md", "pyg.md")]
"""Pages whose commands run here; tests/docs/test_extending.py and test_pyg.py run those of the worked examples."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages expect: raw data, a trained model, scans and photos."""
    folder = tmp_path_factory.mktemp("docs")
    rooms = write_fake_building(folder / "data" / "rooms", num_points=1500)
    (folder / "runs" / "quickstart").mkdir(parents=True)
    write_checkpoint(folder / "runs" / "quickstart" / "best.ckpt", rooms)
    for name in ("my_room", "new_scan"):
        write_own_ply(folder / f"{name}.ply", own_room(3))
    for name in ("my_scan", "building", "floor_1", "floor_2", "stairs"):
        write_laz(folder / f"{name}.laz", own_room(3))
    write_laz(folder / "room_1.laz", own_room(3), labels=True)
    write_own_ply(folder / "room_2.ply", own_room(3))
    (folder / "my_labels.yaml").write_text("{0: floor, 1: wall, 2: table, 3: ceiling}")
    save(fake_picture(1, [1, 2, 3])[0], folder / "photo.jpg")
    room = own_room(3)  # a table without a header: intensity, class and object follow the position
    table = np.column_stack(
        [room["pos"], np.linspace(0, 1, len(room["pos"])), room["label"], room["instance"]]
    )
    np.savetxt(folder / "scan.txt", table, fmt="%.4f")
    write_own_folder(folder)
    raw = folder / "raw"
    areas = tuple(f"Area_{area}/office_{room}" for area in (1, 2, 3, 5) for room in (1, 2))
    write_raw_building(raw / "Stanford3dDataset_v1.2_Aligned_Version", areas)
    release = raw / "Stanford3dDataset_v1.2_Aligned_Version"
    main(["prepare", "s3dis", str(release), str(folder / "data" / "s3dis"), "--workers", "1"])
    write_release(raw / "scannet", [f"scene000{k}_00" for k in range(4)] + ["scene0011_00"])
    write_images(raw / "ADEChallengeData2016", "ade20k")
    return folder


def write_laz(path: Path, room: dict[str, np.ndarray], *, labels: bool = False) -> None:
    import laspy

    header = laspy.LasHeader(point_format=7, version="1.4")
    header.scales = np.full(3, 0.001)
    scan = laspy.LasData(header)
    scan.x, scan.y, scan.z = room["pos"].T
    scan.red, scan.green, scan.blue = 257 * room["color"].T.astype(np.uint16)
    if labels:
        scan.classification = room["label"]
    scan.write(path)


def small(command: str, work: Path) -> list[str]:
    """Return the words of a command, with raw data from ``work`` and little to train on."""
    command = command.replace("/data/", f"{work}/raw/").replace("--backbone.pretrained timm", "")
    words = shlex.split(command)
    assert words[0] == "pcseg", f"{command}: print it as a pcseg command, or name a reason in NOT_RUN"
    if words[1] == "train":
        words += shlex.split(f"{TRAINER} {IMAGES if 'ade20k' in command else POINTS}")
    return words[1:]


def exit_status(words: list[str]) -> object:
    """Run ``pcseg`` with these words in this process."""
    try:
        main(words)
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_run_as_printed(page: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    for run in (work / "runs").iterdir():  # of another page
        if run.name != "quickstart":
            shutil.rmtree(run)
    for command in commands_of(page):
        assert exit_status(small(command, work)) == 0, command


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page.read_text(), "python")],
                         ids=lambda page: str(page.relative_to(ROOT)))  # fmt: skip
def test_python_examples_run_as_printed(page: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    names: dict[str, object] = {}
    for block in blocks(page.read_text(), "python"):
        exec(compile(block, str(page), "exec"), names)


def test_described_folder_is_the_one_of_the_guide() -> None:
    text = (ROOT / "docs" / "own_data.md").read_text()
    described = yaml.safe_load(blocks(text, "yaml")[0])
    assert tuple(described["names"].values()) == NAMES
    assert len(bash_commands(text)) >= 6


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="needs the environment that the scripts make")
def test_quickstart(tmp_path: Path) -> None:
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = (
        f"bash scripts/quickstart.sh --rooms 1 --points 8000 --epochs 1 --data {tmp_path}/data "
        f"--out {tmp_path}/runs/quickstart"
    )
    run_apart(command, env={"PATH": path, "OMP_NUM_THREADS": "1"})
    assert len(list((tmp_path / "runs" / "quickstart" / "pictures").glob("*.png"))) == 1
    again = run_apart(command, env={"PATH": path, "OMP_NUM_THREADS": "1"})
    assert "this model" in again
    room = next((tmp_path / "data" / "rooms" / "Area_5").glob("*.h5"))
    assert len(read_cloud(room)) > 1000
    assert load_checkpoint(tmp_path / "runs" / "quickstart" / "best.ckpt").schema.num_classes == 13
