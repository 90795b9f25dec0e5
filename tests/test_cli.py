"""Commands answer wrong keys, wrong types and user errors in a few lines and with a status."""

from pathlib import Path

import pytest

from pcseg.cli import run
from pcseg.errors import UserError

CALLS: list[tuple] = []


def greet(name: str, *, times: int = 1, out: Path = Path("x"), config: dict | None = None) -> None:
    """Greet somebody.

    Args:
        name: Whom.
        times: How often.
        out: Where to.
        config: Filled in by the command line.
    """
    if times < 0:
        raise UserError("--times: negative; give 0 or more")
    CALLS.append((name, times, out, config))


def test_options_and_resolved_config(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("times: 3\n")
    run(greet, pass_config="config", args=["--config", str(file), "ann", "--out", "y"])
    name, times, out, config = CALLS.pop()
    assert (name, times, out) == ("ann", 3, Path("y"))
    assert config["times"] == 3
    assert config["name"] == "ann"


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
        run(greet, pass_config="config", args=args)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert named in error
    assert len(error.splitlines()) <= 8
    assert not CALLS


def test_unknown_key_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("tiems: 3\n")
    with pytest.raises(SystemExit) as stop:
        run(greet, pass_config="config", args=["--config", str(file), "ann"])
    assert stop.value.code == 2
    assert "tiems" in capsys.readouterr().err


def test_user_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(greet, pass_config="config", args=["ann", "--times", "-1"])
    assert stop.value.code == 1
    assert capsys.readouterr().err == "pcseg: error: --times: negative; give 0 or more\n"


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        """Stop."""
        raise KeyboardInterrupt("run again to go on")

    with pytest.raises(SystemExit) as stop:
        run(interrupted, args=[])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "pcseg: interrupted; run again to go on\n"
