"""The study command: trains every variant with every seed once, and writes a table that its runs account for."""

import json
import runpy
from pathlib import Path

import pytest
from fakes import write_fake_building
from studies.cost import measure_costs
from studies.harness import Outcome, Study, Variant, chosen, markdown, run_study, within_noise, write_report

from pcseg.cli import run
from pcseg.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def result(*ious: float) -> dict:
    return {
        "scores": {"miou": {"excluded": sum(ious) / len(ious)}},
        "classes": [{"name": f"class{i}", "iou": iou} for i, iou in enumerate(ious)],
        "protocol": {"scenes": 2, "release": "generated", "splits": ["Area_5"]},
    }


def test_differences_are_paired_by_seed() -> None:
    first = Outcome(variant=Variant(name="plain", config="a"), results=[result(0.2, 0.4), result(0.6, 0.8)])
    other = Outcome(variant=Variant(name="head", config="b"), results=[result(0.3, 0.5), result(0.7, 0.9)])
    table = markdown(Study(title="T", question="Q", variants=()), [first, other], command="C")
    assert "| plain | 50.0 ± 28.3 |" in table
    # far apart over the seeds, yet the same gain with each of them
    assert "| head | 60.0 ± 28.3 | +10.0 |" in table
    assert "| class1 | 60.0 | 70.0 |" in table


def test_noise_is_two_standard_errors() -> None:
    assert within_noise([1.0])
    assert within_noise([2.0, -1.0, 1.0])
    assert not within_noise([2.0, 2.1, 1.9])


def test_only_known_variants() -> None:
    variants = [Variant(name=name, config="c") for name in ("a", "b", "c")]
    assert [variant.name for variant in chosen(variants, ["c"])] == ["a", "c"]
    with pytest.raises(UserError, match="no 'd'; choose from a, b, c"):
        chosen(variants, ["d"])


@pytest.mark.slow
def test_study_runs_and_goes_on(tmp_path: Path) -> None:
    data = write_fake_building(tmp_path / "data", num_points=800)
    study = Study(
        title="T", question="Q", variants=(Variant(name="plain", config="configs/rooms/plain.yaml"),)
    )

    def go() -> list[Outcome]:
        budget = ["--trainer.max_epochs", "1", "--data.loop", "1"]
        return run_study(study, data=data, out=tmp_path / "runs", seeds=1, jobs=1, train_options=budget)

    outcomes = go()
    measure_costs(outcomes, data=data)
    write_report(study, outcomes, folder=tmp_path / "report", name="heads", command="C")
    (row,) = json.loads((tmp_path / "report" / "heads.json").read_text())["variants"]
    scored = tmp_path / "runs" / "plain" / "seed_0" / "evaluation" / "results.json"
    assert row["miou"] == [100 * json.loads(scored.read_text())["scores"]["miou"]["excluded"]]
    assert row["cost"]["parameters"] > 0
    assert row["cost"]["step_s"] > 0
    checkpoint = scored.parents[1] / "best.ckpt"
    before = checkpoint.stat().st_mtime_ns
    assert go()[0].mious == outcomes[0].mious
    assert checkpoint.stat().st_mtime_ns == before, "finished runs are kept"


def test_unknown_study_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    command = runpy.run_path(str(ROOT / "scripts" / "study.py"))["study"]
    with pytest.raises(SystemExit):
        run(command, args=["nothing"])
    assert "study 'nothing' is unknown; choose from head_options, heads" in capsys.readouterr().err
