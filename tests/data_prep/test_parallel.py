"""The runner of jobs: what becomes of a process that dies and of a bug."""

import os
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
from rich.console import Console

from data_prep.parallel import Job, Outcome, prepare_scenes
from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.errors import UserError
from pcseg.labels import S3DIS

EMPTY = Manifest(dataset="s3dis", release="test", schema=S3DIS, scenes=())

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def entry(name: str) -> SceneEntry:
    return SceneEntry(path=f"A/{name}.h5", split="A", name=name, num_points=1, class_histogram=(1,) + (0,) * 12,
                      content=name, source=name)  # fmt: skip


def die() -> SceneEntry:
    os._exit(1)


def stumble() -> SceneEntry:
    raise ZeroDivisionError("a bug")


def refuse() -> SceneEntry:
    raise PermissionError(13, "Permission denied", "wall_1.txt")


def jobs_of(**works: Callable[[], SceneEntry]) -> list[Job]:
    return [Job(path=f"A/{name}.h5", source=name, size=1, work=work) for name, work in works.items()]


def run(out: Path, jobs: list[Job], *, workers: int) -> Outcome:
    return prepare_scenes(jobs, out, empty=EMPTY, workers=workers, console=Console(quiet=True))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 9])
def test_manifest_is_ordered_whatever_comes_first(tmp_path: Path, workers: int) -> None:
    jobs = jobs_of(**{name: partial(entry, name) for name in "cabd"}, x=refuse)
    outcome = run(tmp_path, jobs, workers=workers)
    assert [scene.name for scene in outcome.manifest.scenes] == [*"abcd"]
    assert Manifest.read(tmp_path) == outcome.manifest
    assert outcome.failures == ["[Errno 13] Permission denied: 'wall_1.txt'"]


def test_dead_process_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--workers 2: a worker process died.*fewer workers"):
        run(tmp_path, jobs_of(a=die, b=die), workers=2)
    assert Manifest.read(tmp_path).scenes == ()


@pytest.mark.parametrize("workers", [1, 2])
def test_bug_keeps_its_traceback(tmp_path: Path, workers: int) -> None:
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, jobs_of(a=partial(entry, "a"), b=stumble), workers=workers)
    assert (tmp_path / "manifest.json").is_file()


def test_second_run_waits_and_keeps_the_scenes_of_the_first(tmp_path: Path) -> None:
    second = get_context("fork").Process(target=run_alone, args=(tmp_path, written(tmp_path, "x", "y")))

    def other() -> SceneEntry:  # starts the second run and gives it time to find the folder in use
        second.start()
        second.join(timeout=0.5)
        assert second.is_alive()
        return write(tmp_path, "b")

    run(tmp_path, [*written(tmp_path, "a"), *jobs_of(b=other), *written(tmp_path, "c")], workers=1)
    second.join()
    assert [scene.name for scene in Manifest.read(tmp_path).scenes] == [*"abcxy"]
    assert not list(tmp_path.glob(".*"))


def run_alone(out: Path, jobs: list[Job]) -> None:
    run(out, jobs, workers=1)


def write(out: Path, name: str) -> SceneEntry:
    (out / "A").mkdir(exist_ok=True)
    (out / "A" / f"{name}.h5").touch()
    return entry(name)


def written(out: Path, *names: str) -> list[Job]:
    return jobs_of(**{name: partial(write, out, name) for name in names})
