"""Numbers in README and pages are those of the reports they cite."""

import json
import re
from statistics import mean, stdev

import pytest
from helpers.printed_commands import ROOT

STUDY = json.loads((ROOT / "docs" / "studies" / "heads.json").read_text())
SCORES = {row["variant"]: f"{mean(row['miou']):.1f} ± {stdev(row['miou']):.1f}" for row in STUDY["variants"]}


def table_rows(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(rf"\| `(rooms/)?{name}`", line)]


@pytest.mark.parametrize("name", ["linear", "fcn", "encnet", "ctnet", "ccnet"])
def test_scores_of_the_heads_study(name: str) -> None:
    for path in (ROOT / "README.md", ROOT / "docs" / "models.md"):
        rows = table_rows(path.read_text(), name)
        assert len(rows) == 1, f"{path}: {rows}"
        assert SCORES[name] in rows[0]
