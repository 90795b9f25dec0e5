"""Commands that tests/test_docs.py does not run name existing options and configurations."""

import re
import shlex

import pytest
from helpers.printed_commands import ROOT, bash_commands

from pcseg import cli
from pcseg.config_names import config_files

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PARSED_ONLY = ("pcseg convert", "pcseg cross-validate", "pcseg submit-scannet")
COMMANDS = sorted(
    {
        command
        for page in PAGES
        for command in bash_commands(page.read_text())
        if command.startswith(PARSED_ONLY) or " weights/" in command or "utonia" in command
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_options_and_configurations_exist(command: str, capsys: pytest.CaptureFixture) -> None:
    words = shlex.split(command)[1:]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--print_config"])
    assert ended.value.code in (0, None), capsys.readouterr().err


def test_names_of_configurations_exist() -> None:
    """``s3dis/encnet`` and the like in backticks can be given as ``--config``."""
    folders = "|".join(path.name for path in (ROOT / "configs").iterdir() if path.is_dir())
    for page in PAGES:
        for name in re.findall(rf"`((?:{folders})/[\w/]+)`", page.read_text()):
            assert config_files(name), f"{page.name}: {name}"
