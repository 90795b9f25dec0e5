"""The command line: short errors, configurations by name, and help pages that import nothing."""

import importlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pcseg.cli import COMMANDS, main, make_parser, run
from pcseg.cli.help_pages import help_parser, summary_of
from pcseg.config_names import config_files, run_name
from pcseg.errors import UserError, exit_on_user_error

CALLS: list[tuple] = []


def greet(name: str, *, times: int = 1, out: Path = Path("x"), config: dict | None = None) -> list[str]:
    """Greet somebody.

    Args:
        name: Who is greeted.
        times: Number of greetings.
        out: Output folder.
        config: Filled in by the command line.
    """
    if times < 0:
        raise UserError("--times: negative. Give 0 or more.")
    CALLS.append((name, times, out, config))
    return [f"hello {name}"] * times


def test_options_files_and_resolved_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("times: 3\n")
    run(greet, args=["--config", str(file), "ann", "--out", "y"])
    name, times, out, config = CALLS.pop()
    assert (name, times, out) == ("ann", 3, Path("y"))
    assert config["times"] == 3
    assert config["name"] == "ann"
    assert capsys.readouterr().out == "hello ann\n" * 3


def test_options_override_files_wherever_they_are_given(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("times: 3\n")
    run(greet, args=["--times", "2", "ann", f"--config={file}"])
    assert CALLS.pop()[:2] == ("ann", 2)


def test_output_folder_follows_from_the_configurations(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("times: 3\n")
    run(greet, args=["--config", str(file), "ann"])
    assert CALLS.pop()[2] == Path("runs", f"{tmp_path.name}_mine")
    file.write_text("out: z\n")
    run(greet, args=["--config", str(file), "ann"])
    assert CALLS.pop()[2] == Path("z")


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["ann", "--tims", "2"], "tims"),
        (["ann", "--times", "two"], "times"),
        (["ann", "--time", "2"], "time"),
    ],
)
def test_wrong_options_name_the_key(args: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(greet, args=args)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert named in error
    assert len(error.splitlines()) <= 8
    assert not CALLS


def test_unknown_key_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("tiems: 3\n")
    with pytest.raises(SystemExit) as stop:
        run(greet, args=["--config", str(file), "ann"])
    assert stop.value.code == 2
    assert "tiems" in capsys.readouterr().err


@dataclass(kw_only=True)
class Wave:
    """A greeting.

    Args:
        height: Height of the hand.
    """

    height: float = 1.0


class Bow:
    """Another greeting.

    Args:
        depth: Depth.
        inner: A greeting within.
    """

    def __init__(self, *, depth: int = 1, inner: "Bow | None" = None) -> None:
        self.depth, self.inner = depth, inner


def perform(*, manner: Bow, wave: Wave, mood: str = "good") -> None:
    """Greet in a manner.

    Args:
        manner: A class.
        wave: A group of options.
        mood: A text.
    """


@pytest.mark.parametrize(
    ("typo", "message"),
    [
        ({"manner": {"init_args": {"dept": 2}}}, f"dept: not an option of {__name__}.Bow. Choose from: depth, inner."),
        ({"manner": {"init_args": {"inner": {"class_path": f"{__name__}.Bow", "init_args": {"inne": 1}}}}},
         f"inne: not an option of {__name__}.Bow. Choose from: depth, inner."),
        ({"wave": {"highness": 2}}, "wave.highness: not an option of pcseg perform. Choose from: wave.height."),
        ({"mod": 2}, "mod: not an option of pcseg perform. Choose from: "),
        ({"manner": "pcseg.heads.PointHed"}, "manner: pcseg.heads.PointHed does not exist. Use pcseg.heads.PointHead."),
        ({"manner": "pcseg.hads.PointHead"}, "manner: pcseg.hads does not exist. Use pcseg.heads."),
        ({"manner": "psceg.heads.PointHead"}, "manner: psceg does not exist. Correct the name"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("given", ["in a file", "as an option"])
def test_an_unknown_option_or_class_gives_the_known(
    typo: dict, message: str, given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args, value, name = ["--manner", f"{__name__}.Bow"], typo, ""
    while isinstance(value, dict) and "class_path" not in value:
        (key,) = value
        name, value = f"{name}.{key}" if name else key, value[key]
    file = tmp_path / "typo.yaml"
    file.write_text(json.dumps(typo))
    args += (
        ["--config", str(file)]
        if given == "in a file"
        else [f"--{name}={value if isinstance(value, str) else json.dumps(value)}"]
    )
    with pytest.raises(SystemExit):
        run(perform, args=args, prog="pcseg perform")
    error = capsys.readouterr().err
    assert error.replace("--", "").startswith(f"pcseg: error: {message}")
    assert error.count("\n") == 1


def test_user_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(greet, args=["ann", "--times", "-1"])
    assert stop.value.code == 1
    assert capsys.readouterr().err == "pcseg: error: --times: negative. Give 0 or more.\n"


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: out of memory\nCUDA kernel errors"), MemoryError()]
)
def test_a_lack_of_memory_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        exit_on_user_error(run)
    assert stop.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("pcseg: error: out of memory (")
    assert line.endswith("Choose a smaller model or batch, or end other programs.")


def test_other_errors_keep_their_traceback() -> None:
    def run() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        exit_on_user_error(run)


def test_interruption_reports_how_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        """Stop."""
        raise KeyboardInterrupt("run again to resume")

    with pytest.raises(SystemExit) as stop:
        run(interrupted, args=[])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "pcseg: interrupted; run again to resume\n"


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped configurations."""
    folder = tmp_path / "shipped"
    for name in (
        "s3dis/base",
        "s3dis/laptop",
        "s3dis/axes",
        "heads/encnet",
        "heads/ccnet",
        "backbones/ptv3",
        "ade20k/encnet_50",
    ):
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    monkeypatch.setattr("pcseg.config_names.CONFIGS", folder)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(
    ("name", "files", "folder"),
    [
        ("s3dis", ["s3dis/base"], "s3dis"),
        ("s3dis/encnet", ["s3dis/base", "heads/encnet"], "s3dis_encnet"),
        ("configs/s3dis/encnet.yaml", ["s3dis/base", "heads/encnet"], "s3dis_encnet"),
        ("s3dis/ptv3/ccnet/laptop", ["s3dis/base", "backbones/ptv3", "heads/ccnet", "s3dis/axes", "s3dis/laptop"],
         "s3dis_ptv3_ccnet_laptop"),
        ("ade20k/encnet_50", ["ade20k/encnet_50"], "ade20k_encnet_50"),
        ("heads/encnet", ["heads/encnet"], "encnet"),
        ("configs/s3dis/base.yaml", ["s3dis/base"], "s3dis"),
    ],
)  # fmt: skip
def test_configuration_by_name(name: str, files: list[str], folder: str, configs: Path) -> None:
    assert config_files(name) == [configs / f"{file}.yaml" for file in files]
    assert run_name([name]) == folder


def test_existing_file_wins_over_a_name(configs: Path, tmp_path: Path) -> None:
    own = tmp_path / "s3dis" / "encnet.yaml"
    own.parent.mkdir()
    own.write_text("{}\n")
    assert config_files("s3dis/encnet.yaml") == [Path("s3dis/encnet.yaml")]
    assert config_files("s3dis/encnet") == [
        configs / "s3dis" / "base.yaml",
        configs / "heads" / "encnet.yaml",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("s3di/encnet", r"--config s3di/encnet: .*Choose from ade20k, backbones, heads, s3dis\."),
        ("s3dis/encnt", r"--config s3dis/encnt: .*'encnt'\. Choose from axes, ccnet, encnet, laptop, ptv3\."),
        ("missing.yaml", r"--config missing\.yaml: not a file"),
        ("ade20k", r"--config ade20k: several configurations\. Choose from encnet_50\."),
    ],
)
def test_unknown_configuration_lists_the_known(name: str, message: str, configs: Path) -> None:
    with pytest.raises(UserError, match=message):
        config_files(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_page_has_the_options_of_the_parser(name: str) -> None:
    """The page read from source has the same options as the parser made of the imported function."""
    module, _, function = COMMANDS[name].partition(":")
    parser = make_parser(getattr(importlib.import_module(module), function))
    parsed = {action.dest for action in parser._actions if not action.dest.endswith((".help", "help"))}
    groups = {option.partition(".")[0] for option in parsed if "." in option}
    options = {action.dest: str(action.help) for action in help_parser(COMMANDS[name], name)._actions}
    assert options.keys() == {*parsed, "config", "print_config", "help"} - groups
    assert summary_of(COMMANDS[name]).endswith(".")
    for option, text in options.items():
        assert not text.startswith(" ("), f"{name}: describe {option} in the docstring"


@pytest.mark.slow
def test_help_imports_nothing_heavy() -> None:
    """Every help page in one process: neither torch nor numpy is imported."""
    program = (
        "import sys; from pcseg.cli import COMMANDS, main\n"
        "for name in COMMANDS: main([*name.split(), '--help'])\n"
        "print([name for name in ('torch', 'lightning', 'numpy', 'h5py') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--trainer.max_epochs" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("args", [[], ["--help"], ["predict", "--help"], ["prepare", "--help"]])
def test_a_reader_that_ends_early_ends_the_command_quietly(args: list[str]) -> None:
    """As ``pcseg --help | head -1`` does: the pipe is closed before anything is read."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "pcseg", *args], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for args, status in ([], 0), (["--help"], 0), (["prepare"], 0), (["prepare", "s3di"], 2), (["trian"], 2):
        with pytest.raises(SystemExit) as stop:
            main(args)
        assert stop.value.code == status
        written = capsys.readouterr()
        assert "prepare s3dis" in (written.err if status else written.out)


ALLOCATE = """
import sys
import numpy as np
from pcseg.cli import keep_freed_memory

def resident_mb():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

if sys.argv[1] == "keep":
    keep_freed_memory()
before = resident_mb()
for _ in range(2):
    arrays = [np.ones(8 << 20, np.uint8) for _ in range(8)]
    del arrays
print(resident_mb() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_stays_with_the_process() -> None:
    def kept_mb(how: str) -> float:
        done = subprocess.run(
            [sys.executable, "-c", ALLOCATE, how], capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    assert kept_mb("keep") > 56
    assert kept_mb("default") < 24
