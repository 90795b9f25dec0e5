"""Two commands that write into one folder: the second is refused or waits, and a dead process blocks nobody."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest
from helpers.fakes import write_fake_building
from helpers.training_runs import run_here, write_config

from pcseg.errors import UserError
from pcseg.files import output_folder

HOLD = """
import sys, time
from pathlib import Path
from pcseg.files import output_folder
with output_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holding(folder: Path) -> Iterator[subprocess.Popen]:
    """Run a process that writes into a folder; it is killed at the end."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with holding(out) as first:
        message = rf"run: process {first.pid} \(-c .*writes into it\. Wait"
        with pytest.raises(UserError, match=message), output_folder(out):
            pass
        with output_folder(out, part="other scan"):
            pass
    with output_folder(out):
        assert str(os.getpid()) in (out / ".lock").read_text()
        with pytest.raises(UserError, match="this process already writes into it"), output_folder(out):
            pass
    assert not list(out.iterdir())


def test_waiting_process_goes_next(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with holding(tmp_path) as first:
        timer = Timer(0.5, first.kill)
        timer.start()
        with output_folder(tmp_path, wait=True):
            assert timer.finished.is_set()
        assert f"process {first.pid}" in caplog.text


def test_failure_leaves_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "a" / "b"):
        1 / 0  # noqa: B018
    assert not list(tmp_path.iterdir())
    with output_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert (tmp_path / "a" / "b" / "file").is_file()


@pytest.mark.slow
def test_second_training_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    building = write_fake_building(tmp_path / "rooms")
    config = write_config(tmp_path / "config.yaml", building, tmp_path / "run")
    with holding(tmp_path / "run") as first, pytest.raises(SystemExit):
        run_here(config)
    output = capsys.readouterr().err
    assert output.startswith(f"pcseg: error: {tmp_path / 'run'}: process {first.pid} ")
    assert output.count("\n") == 1
