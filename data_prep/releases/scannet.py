"""The raw ScanNet release on disk: scans, split lists, label table, alignments."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.releases.release import (
    better_folder,
    input_folders,
    is_generated,
    require_folder,
    require_single,
)
from pcseg.errors import UserError
from pcseg.files import read_lines

SPLITS = ("train", "val", "test")

NUM_SCANS = {"train": 1201, "val": 312, "test": 100}
"""Number of scans per split of the release."""

# All scans of one space are in the same split, so that a list of spaces is equivalent to the official list of
# 312 scans.
VAL_SPACES = frozenset(map(int, """
11 15 19 25 30 46 50 63 64 77 81 84 86 88 95 100 131 139 144 146 149 153 164 169 187 193 196 203 207 208 217
221 222 231 246 249 251 256 257 277 278 300 304 307 314 316 328 329 334 338 342 343 351 353 354 355 356 357 377
378 382 389 406 412 414 423 426 427 430 432 435 441 458 461 462 474 488 490 494 496 500 518 527 535 549 550 552
553 558 559 565 568 574 575 578 580 583 591 593 595 598 599 606 607 608 609 616 618 621 629 633 643 644 645 647
648 651 652 653 655 658 660 663 664 665 670 671 678 684 685 686 689 690 693 695 696 697 699 700 701 702 704
""".split()))  # fmt: skip
"""Spaces ``scene<space>_<visit>`` of ``scannetv2_val.txt``; other spaces below 707 are for training."""

FIRST_TEST_SPACE, LAST_TEST_SPACE = 707, 806

LABEL_TABLE = "scannetv2-labels.combined.tsv"

LAYOUT = "Expected RAW/scans/scene0000_00/scene0000_00_vh_clean_2.ply."

_SCAN = re.compile(r"scene(\d{4})_\d{2}")


@dataclass(frozen=True, kw_only=True)
class RawScan:
    """A scan of the raw release."""

    name: str
    split: str
    folder: Path

    @property
    def mesh(self) -> Path:
        return self.folder / f"{self.name}_vh_clean_2.ply"

    @property
    def labels(self) -> Path:
        """The mesh with a nyu40 id per vertex."""
        return self.folder / f"{self.name}_vh_clean_2.labels.ply"

    @property
    def segments(self) -> Path:
        """The segment of each vertex."""
        return self.folder / f"{self.name}_vh_clean_2.0.010000.segs.json"

    @property
    def aggregation(self) -> Path:
        """The segments and the category of each object."""
        return self.folder / f"{self.name}.aggregation.json"

    @property
    def info(self) -> Path:
        """The text file with ``axisAlignment``."""
        return self.folder / f"{self.name}.txt"

    @property
    def files(self) -> list[Path]:
        """The files of a scan; scans of the test split have no annotation."""
        annotation = [] if self.split == "test" else [self.labels, self.segments, self.aggregation]
        return [self.mesh, *annotation]


@dataclass(frozen=True, kw_only=True)
class Category:
    """Ids of a raw category in the label table."""

    id: int
    nyu40id: int


def find_scans(raw: Path, *, lists: Path | None = None) -> tuple[list[RawScan], list[str]]:
    """Return the scans of a raw release sorted by split and name, and warnings about missing or skipped scans.

    ``lists`` has ``scannetv2_{train,val,test}.txt``; default: ``raw`` if it has them, otherwise the official splits.

    Raises:
        UserError: Not the folder of a release, a damaged list, or no scan in any split.
    """
    require_folder(raw, LAYOUT)
    folders: dict[str, Path] = {}
    for folder in [*_scan_folders(raw / "scans"), *_scan_folders(raw / "scans_test")]:
        if folder.name in folders:
            raise UserError(f"{folder}: {folders[folder.name]} has the same name. Remove one of them.")
        folders[folder.name] = folder
    require_single(folders.values())
    if not folders:
        rename = "" if raw.name == "scans" else f"Rename {raw.name!r} to 'scans'. "
        inside = f"{rename}Pass its parent folder."
        advice = inside if _scan_folders(raw) else better_folder(raw, _has_scans, LAYOUT)
        raise UserError(f"{raw}: has no scans/scene*. {advice}")
    wanted = read_lists(raw if lists is None else lists, required=lists is not None)
    split = _splits(folders, wanted)
    if not split:
        raise UserError(
            f"{raw}: none of its {len(folders)} scans is in a split list, such as {min(folders)}. Check the lists."
        )
    scans = [RawScan(name=name, split=split[name], folder=folders[name]) for name in split]
    scans.sort(key=lambda scan: (SPLITS.index(scan.split), scan.name))
    return scans, _warnings(raw, folders, split, wanted)


def read_lists(folder: Path, *, required: bool = False) -> dict[str, tuple[str, ...]] | None:
    """Read the scans per split from ``scannetv2_<split>.txt``; return ``None`` if there are no lists.

    Raises:
        UserError: A missing list, a line that is not a scan, or a scan in two lists.
    """
    lists: dict[str, tuple[str, ...]] = {}
    for split in SPLITS:
        path = folder / f"scannetv2_{split}.txt"
        if path.is_file():
            lists[split] = tuple(name for line in read_lines(path) for name in line.split())
            bad = [name for name in lists[split] if not _SCAN.fullmatch(name)]
            if bad:
                raise UserError(f"{path}: {bad[0]!r} is not a scan. Expected lines such as scene0011_00.")
    if not lists and not required:
        return None
    for split in ("train", "val"):
        if split not in lists:
            raise UserError(f"{folder}: has no scannetv2_{split}.txt. Provide all split lists or none.")
    names = [name for scans in lists.values() for name in scans]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{folder}: {twice} occurs twice in scannetv2_*.txt. Download them again.")
    return lists


def read_label_table(path: Path) -> dict[str, Category]:
    """Read the ids of every raw category from ``scannetv2-labels.combined.tsv``.

    Raises:
        UserError: No such file, a missing column, or a damaged line.

    Convention:
        For a category that occurs twice (``object``) the first line is used, as in the scripts of the benchmark.
        Lines end with CRLF; quotes are part of the text. One ``id`` can have two nyu40 ids (``shower door`` and
        ``shower doors``), so neither id determines the other.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file. Download it with the release (option --label_map of its script)."
        )
    header, *lines = path.read_bytes().decode("utf-8", errors="replace").splitlines() or [""]
    names, columns = header.split("\t"), ("raw_category", "id", "nyu40id")
    for column in columns:
        if column not in names:
            raise UserError(f"{path}: no column {column!r} (columns: {names}). Use the table of the release.")
    places = [names.index(column) for column in columns]
    table: dict[str, Category] = {}
    for number, line in enumerate(lines, start=2):
        if line.strip():
            try:
                cells = line.split("\t")
                raw, id_, nyu40id = (cells[place] for place in places)
                table.setdefault(raw, Category(id=int(id_), nyu40id=int(nyu40id)))
            except (IndexError, ValueError):
                raise UserError(f"{path} line {number}: damaged, {line[:60]!r}. Download it again.") from None
    return table


def read_alignment(path: Path) -> np.ndarray | None:
    """Read the ``(4, 4)`` axis alignment from the ``.txt`` of a scan; return ``None`` if it has none.

    Raises:
        UserError: No such file, or not 16 finite numbers.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file. Download the scan again or omit --align.")
    for line in path.read_text(errors="replace").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "axisAlignment":
            try:
                matrix = np.array([float(number) for number in value.split()]).reshape(4, 4)
            except ValueError:
                matrix = np.full((4, 4), np.nan)
            if not np.isfinite(matrix).all():
                raise UserError(f"{path}: axisAlignment is not 16 numbers. Download the scan again.")
            return matrix
    return None


def release_name(raw: Path) -> str:
    """Return the name of the data in results; generated rooms are not called ScanNet."""
    return "generated rooms, ScanNet layout" if is_generated(raw) else "ScanNet v2"


def _splits(folders: dict[str, Path], lists: dict[str, tuple[str, ...]] | None) -> dict[str, str]:
    """Return the split of each scan that is in one."""
    if lists is not None:
        split = {name: split for split, names in lists.items() for name in names if name in folders}
        if "test" not in lists:
            split |= {name: "test" for name, folder in folders.items() if folder.parent.name == "scans_test"}
        return split
    split = {}
    for name in folders:
        space = int(name[5:9])
        if space < FIRST_TEST_SPACE:
            split[name] = "val" if space in VAL_SPACES else "train"
        elif space <= LAST_TEST_SPACE:
            split[name] = "test"
    return split


def _warnings(
    raw: Path, folders: dict[str, Path], split: dict[str, str], lists: dict[str, tuple[str, ...]] | None
) -> list[str]:
    lines = []
    for name in SPLITS:
        found = sum(other == name for other in split.values())
        number = NUM_SCANS[name] if lists is None else len(lists.get(name, ()))
        if found < number:
            lines.append(
                f"{raw} has {found} of the {number} {name} scans. Check that the download is complete."
            )
    left = sorted(folders.keys() - split.keys())
    if left:
        lines.append(f"{len(left)} scans are in no split list and are skipped, such as {left[0]}")
    return lines


def _scan_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return input_folders(path for path in folder.iterdir() if _SCAN.fullmatch(path.name))[0]


def _has_scans(folder: Path) -> bool:
    return bool(_scan_folders(folder / "scans") or _scan_folders(folder / "scans_test"))
