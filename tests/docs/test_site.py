"""The documentation site builds without warnings, and README and pages keep their promises."""

import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from helpers.printed_commands import ROOT, run_apart

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    run_apart(
        f"{sys.executable} -m mkdocs build --strict --quiet --site-dir {tmp_path}",
        env={"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
    )
    assert (tmp_path / "heads" / "index.html").is_file()
    api = (tmp_path / "api" / "heads" / "index.html").read_text()
    assert "EncBody" in api
    assert ":class:" not in api, "a role of reStructuredText was not translated"


def test_every_page_is_in_the_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    shown = set(re.findall(r"[\w/]+\.md", yaml.dump(yaml.safe_load(config)["nav"])))
    assert shown == {page.relative_to(DOCS).as_posix() for page in PAGES}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize(
    "text",
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_links_lead_to_files_and_headings(text: Path) -> None:
    links = re.findall(
        r"\]\((?!https?://)([^)\s]+)\)", re.sub(r"```.*?```", "", text.read_text(), flags=re.DOTALL)
    )
    for link in links:
        path, _, anchor = link.partition("#")
        target = (text.parent / path).resolve() if path else text
        assert target.exists(), f"{link}: no such file"
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target), f"{link}: no such heading"


def _anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in headings]
    return {re.sub(r"\s", "-", heading) for heading in plain} | {
        re.sub(r"[-\s]+", "-", heading) for heading in plain
    }


def test_paths_of_the_repository_exist() -> None:
    """A path in backticks that starts with a folder of the repository names something that is there."""
    for text in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES):
        for path in re.findall(
            r"`((?:pcseg|configs|scripts|tests|data_prep|docs)/[\w./]*)`", text.read_text()
        ):
            if "foo" not in path and "why_context" not in path:
                assert (ROOT / path).exists(), f"{os.path.relpath(text, ROOT)}: {path}"
