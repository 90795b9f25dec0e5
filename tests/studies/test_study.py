"""The study command trains every variant with every seed once and writes a table of its runs."""

import importlib
import json
import runpy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.fake_images import write_room_frames
from helpers.fakes import write_fake_building
from studies import class_features, harness, image_heads, slabs
from studies.cost import measure_costs, training_step
from studies.ctnet_variants import CTVariantBody
from studies.harness import (
    Criterion,
    Intervention,
    Outcome,
    Study,
    Variant,
    chosen,
    run_interventions,
    run_module,
    run_study,
)
from studies.intervene import intervene
from studies.interventions import CHANGES
from studies.report import markdown, read_outcomes, within_noise, write_report
from studies.settings import settings_of

from pcseg.cli import main, run, training_config
from pcseg.data.manifest import Manifest
from pcseg.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


ROOMS = {"trained_on_manifest": "abc", "manifest": "def"}


def result(*ious: float) -> dict:
    return {
        "scores": {"miou": {"excluded": sum(ious) / len(ious)}},
        "classes": [{"name": f"class{i}", "iou": iou} for i, iou in enumerate(ious)],
        "provenance": {"scenes": 2, "release": "generated", "splits": ["Area_5"]} | ROOMS,
    }


def test_differences_are_paired_by_seed() -> None:
    first = Outcome(variant=Variant(name="plain", config="a"), results=[result(0.2, 0.4), result(0.6, 0.8)])
    other = Outcome(variant=Variant(name="head", config="b"), results=[result(0.3, 0.5), result(0.7, 0.9)])
    table = markdown(Study(title="T", question="Q", variants=()), [first, other], command="C")
    assert "| plain | 50.0 ± 28.3 |" in table
    # far apart over the seeds, yet the same gain with each of them
    assert "| head | 60.0 ± 28.3 | +10.0 |" in table
    assert "| class1 | 60.0 | 70.0 |" in table


def test_option_is_compared_with_its_own_head() -> None:
    rows = {"plain": "", "head": "", "head-option": "head"}
    variants = tuple(Variant(name=name, config="a", base=base) for name, base in rows.items())
    outcomes = [
        Outcome(
            variant=variant, results=[result(iou)], cost={"parameters": 1e6, "step_s": iou, "step_mb": 1.0}
        )
        for variant, iou in zip(variants, (0.1, 0.4, 0.2))
    ]
    table = markdown(Study(title="T", question="Q", variants=()), outcomes, command="C")
    assert "difference to *plain*, or for variants of *head* to that one;" in table
    assert "| head | 40.0 | ≈ +30.0 | 1.00 M | 4.00x |" in table
    assert "| head-option | 20.0 | ≈ -20.0 | 1.00 M | 0.50x |" in table
    assert chosen(variants, ["head-option"]) == variants, "a base is included"


def test_noise_is_two_standard_errors() -> None:
    assert within_noise([1.0])
    assert within_noise([2.0, -1.0, 1.0])
    assert within_noise([0.0, 0.0, 0.0])
    assert not within_noise([2.0, 2.1, 1.9])


def test_only_known_variants() -> None:
    variants = [Variant(name=name, config="c") for name in ("a", "b", "c")]
    assert [variant.name for variant in chosen(variants, ["c"])] == ["a", "c"]
    with pytest.raises(UserError, match=r"unknown variant 'd'\. Choose from a, b, c"):
        chosen(variants, ["d"])


def test_interventions_are_compared_with_the_trained_model() -> None:
    first = Outcome(variant=Variant(name="ctnet", config="a"), results=[result(0.2, 0.4), result(0.6, 0.8)])
    zero = Outcome(
        variant=Variant(name="zero", config="a", note="none"), results=[result(0.1, 0.3), result(0.5, 0.7)]
    )
    table = markdown(Study(title="T", question="Q", variants=()), [first], [zero], command="C")
    assert "## Interventions on the trained ctnet" in table
    assert "| none | 50.0 ± 28.3 | |" in table
    assert "| zero | 40.0 ± 28.3 | -10.00 | none |" in table


def test_criteria_compare_a_row_with_the_best_of_others() -> None:
    scores = {"slab": (0.5, 0.56, 0.53), "deep": (0.48, 0.5, 0.49), "positions": (0.3, 0.6, 0.3)}
    rows = [
        Outcome(variant=Variant(name=name, config="a"), results=[result(iou, iou) for iou in ious])
        for name, ious in scores.items()
    ]
    criteria = (
        Criterion(claim="context helps", row="slab", against=("deep", "positions"), least=4.5),
        Criterion(claim="more", row="slab", against=("deep",), least=3),
        Criterion(claim="not run", row="slab", against=("other",), least=0),
    )
    table = markdown(Study(title="T", question="Q", variants=(), criteria=criteria), rows, command="C")
    # differences 2, 6, 4: standard error 2 / sqrt(3), quantile 4.303 with two degrees of freedom
    assert "| context helps | slab minus deep ≥ 4.5 | +4.0 ± 5.0 (+2.0, +6.0, +4.0) | not met |" in table
    assert "| more | slab minus deep ≥ 3 | +4.0 ± 5.0 (+2.0, +6.0, +4.0) | met |" in table
    assert "not run" not in table


def test_rows_of_an_earlier_report_are_kept_if_made_the_same_way(tmp_path: Path) -> None:
    variants = tuple(
        Variant(name=name, config="rooms/fcn", options=("--head.init_args.fine", fine))
        for name, fine in {"plain": "0", "head": "64"}.items()
    )
    study = Study(title="T", question="Q", variants=variants)
    results = [result(0.2, 0.4), result(0.6, 0.8)]
    budget = ["--trainer.max_epochs", "1"]
    before = [
        Outcome(
            variant=variant,
            results=results,
            settings=settings_of(variant.config, [*budget, *variant.options]),
        )
        for variant in variants
    ]
    path, same = tmp_path / "heads.json", {"rooms": ROOMS, "budget": budget, "seeds": 2}
    assert read_outcomes(path, variants, **same) == []
    write_report(study, before, folder=tmp_path, name="heads", command="C", budget=same["budget"])
    again = read_outcomes(path, variants, **same)
    assert [outcome.mious for outcome in again] == [pytest.approx(outcome.mious) for outcome in before]
    assert markdown(study, again, command="C") == (tmp_path / "heads.md").read_text()
    (head,) = read_outcomes(path, variants[1:], **same)
    assert head.variant == variants[1]
    for rooms in ({}, ROOMS | {"manifest": "xyz"}, ROOMS | {"trained_on_manifest": "xyz"}):
        assert read_outcomes(path, variants, **(same | {"rooms": rooms})) == []
    for other in ({"budget": []}, {"seeds": 3}):
        assert read_outcomes(path, variants, **(same | other)) == []
    changed = [replace(variants[0], config="rooms/ctnet"), replace(variants[1], options=())]
    assert read_outcomes(path, changed, **same) == []
    content = json.loads(path.read_text())
    edited = {"optimizer.init_args.lr": 1.0, "head.init_args.gone": 3, "head.init_args.unset": None}
    for name, value in edited.items():  # the configuration has changed since
        settings = content["variants"][1]["settings"] | {name: value}
        path.write_text(json.dumps(content | {"variants": [content["variants"][1] | {"settings": settings}]}))
        assert (read_outcomes(path, variants, **same) == []) == (value is not None), name
    for row in content["variants"]:  # of an earlier version
        del row["settings"]
    path.write_text(json.dumps(content))
    assert len(read_outcomes(path, variants, **same)) == 2
    rowless = json.dumps({"budget": same["budget"], "variants": [{"variant": "head"}]})
    for text in ("[]", "{", '{"variants": [1]}', rowless):
        path.write_text(text)
        with pytest.raises(UserError, match="not the report of a study"):
            read_outcomes(path, variants, **same)


def test_a_step_without_measured_memory_leaves_its_cell_empty(tmp_path: Path) -> None:
    """The report of long trainings is written even if the process that measures memory ends early."""
    cost: dict = {"parameters": 1e6, "step_s": 2.0, "step_mb": None}
    rows = [Outcome(variant=Variant(name="plain", config="a"), results=[result(0.2)], cost=cost)]
    rows += [replace(rows[0], variant=Variant(name="head", config="a"), cost=cost | {"step_mb": 8.0})]
    study = Study(title="T", question="Q", variants=())
    write_report(study, rows, folder=tmp_path, name="heads", command="C")
    lines = (tmp_path / "heads.md").read_text().splitlines()
    assert "| plain | 20.0 |  | 1.00 M | 1.00x |  |  |" in lines
    assert "| head | 20.0 | ≈ +0.0 | 1.00 M | 1.00x |  |  |" in lines
    assert json.loads((tmp_path / "heads.json").read_text())["variants"][0]["cost"] == cost


def write_run(folder: Path, variant: Variant, found: dict) -> None:
    """Write the files of a finished run."""
    settings = training_config(["--config", variant.config, *variant.options, "--out", str(folder)])
    for name, content in (("config", settings), ("evaluation/results", found)):
        (folder / "evaluation").mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(content))


def test_finished_runs_of_other_rooms_or_settings_are_refused(tmp_path: Path, building: Path) -> None:
    study = Study(title="T", question="Q", variants=(Variant(name="plain", config="rooms/fcn"),))
    digest = Manifest.read(building).hash
    given: dict = {"data": building, "out": tmp_path, "seeds": 1, "jobs": 1, "train_options": []}
    found, rooms = result(0.5), {"trained_on_manifest": digest, "manifest": digest}
    found["provenance"] |= rooms
    write_run(tmp_path / "plain" / "seed_0", study.variants[0], found)
    assert run_study(study, **given)[0].mious == [50]
    for key in rooms:
        changed = found | {"provenance": found["provenance"] | {key: "another"}}
        write_run(tmp_path / "plain" / "seed_0", study.variants[0], changed)
        with pytest.raises(
            UserError, match=r"plain/seed_0: trained or scored on other rooms .* another --out"
        ):
            run_study(study, **given)
    edited = replace(study.variants[0], options=("--optimizer.init_args.lr", "1"))
    with pytest.raises(
        UserError,
        match=r"seed_0: trained with other settings \(optimizer\.init_args\.lr\)\. Give another --out",
    ):
        run_study(replace(study, variants=(edited,)), **given)
    with pytest.raises(UserError, match=r"missing/manifest\.json: no such file"):
        run_study(replace(study, other=tmp_path / "missing"), **given)


def test_one_more_variant_keeps_other_rows_and_interventions(
    tmp_path: Path, building: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.cost.measure_costs", lambda outcomes, data: None)
    digest, whole = Manifest.read(building).hash, slabs.study(None)
    found = result(0.5, 0.7)
    found["provenance"] |= {"trained_on_manifest": digest, "manifest": digest}
    rows = [Outcome(variant=variant, results=[found]) for variant in whole.variants]
    changed = [Outcome(variant=variant, results=[found]) for variant in whole.changed()]
    written = partial(write_report, whole, folder=tmp_path / "report", name="slabs", command="C")
    written(rows[:-2], changed)
    new = whole.variants[-1]
    assert new.name == "ptv3-slab"

    def train(command: list[str], **options: Any) -> None:  # meanwhile, another command adds a row
        written(rows[:-1], changed)
        write_run(tmp_path / "runs" / new.name / "seed_0", new, found)

    monkeypatch.setattr(harness, "run_module", train)
    command = runpy.run_path(str(ROOT / "scripts" / "study.py"))["study"]
    places = {"data": building, "out": tmp_path / "runs", "report": tmp_path / "report"}
    command("slabs", seeds=1, variants=["ptv3-slab"], **places)
    after = (tmp_path / "report" / "slabs.md").read_text()
    written(rows, changed)
    before = (tmp_path / "report" / "slabs.md").read_text()
    assert "## Interventions on the trained slab" in after
    assert "it matters whose shares they are" in after
    assert [line for line in after.splitlines() if "Made by" not in line] == [
        line for line in before.splitlines() if "Made by" not in line
    ]


def test_interventions_on_an_earlier_checkpoint_are_scored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(
        title="T",
        question="Q",
        variants=(Variant(name="head", config="rooms/ctnet"),),
        interventions=tuple(Intervention(change=name, note="") for name in ("own", "zero", "true")),
    )
    found = result(0.5)
    found["provenance"] |= {"checkpoint": "new"}
    for change, checkpoint in (("own", "new"), ("zero", "earlier")):
        file = tmp_path / "head" / "seed_0" / "interventions" / change / "results.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(found | {"provenance": {"checkpoint": checkpoint}}))
    asked = []

    def score(command: list[str], **options: Any) -> None:
        asked.extend(json.loads(command[-1]))
        for change in asked:
            file = tmp_path / "head" / "seed_0" / "interventions" / change / "results.json"
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(found))

    monkeypatch.setattr(harness, "run_module", score)
    trained = [Outcome(variant=study.variants[0], results=[found])]
    rows = run_interventions(study, trained, out=tmp_path, jobs=1)
    assert asked == ["zero", "true"]
    assert [row.variant.name for row in rows] == ["own", "zero", "true"]


def test_every_chosen_variant_is_in_the_table() -> None:
    for path in (ROOT / "scripts" / "studies").glob("*.py"):
        module = importlib.import_module(f"studies.{path.stem}")
        if hasattr(module, "study"):
            known = [variant.name for variant in module.study(None).variants]
            with pytest.raises(UserError) as error:
                module.study(["no variant"])
            assert str(error.value).endswith(f"Choose from {', '.join(known)}.")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["class_features", "head_options", "heads", "image_heads", "slabs"])
def test_options_of_variants_exist(name: str) -> None:
    """A variant with options differs from its configuration in some setting, and one without does not."""
    for variant in importlib.import_module(f"studies.{name}").study(None).variants:
        settings = settings_of(variant.config, variant.options)
        assert (settings != settings_of(variant.config, ())) == bool(variant.options), variant.name


def test_variants_of_class_features_differ() -> None:
    variants = class_features.study(None).variants
    assert variants[0].name == "ctnet"
    assert len({variant.name for variant in variants}) == len(variants)
    assert len({(variant.config, variant.options) for variant in variants}) == len(variants)
    for other in (class_features.HEADS, class_features.OPTIONS):
        for variant in other:
            made = class_features.SHARED[variant.name]
            assert (made.config, made.options) == (variant.config, variant.options), "runs are shared by name"
    changes = [intervention.change for intervention in class_features.INTERVENTIONS]
    assert sorted(changes) == sorted(CHANGES)


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_building(tmp_path_factory.mktemp("building"), num_points=800)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_room_frames(tmp_path_factory.mktemp("frames"), rooms={"Area_1": 8, "Area_5": 1})


OWN = [variant for variant in class_features.VARIANTS if variant.name not in class_features.SHARED]


@pytest.mark.slow
@pytest.mark.parametrize("variant", OWN, ids=lambda variant: variant.name)
def test_variants_of_ctnet_train_one_step(variant: Variant, building: Path) -> None:
    model, step = training_step(variant, data=building)
    step()
    assert type(model.head.body) is CTVariantBody
    values = dict(
        option.removeprefix("--head.init_args.body.init_args.").split("=") for option in variant.options[1:]
    )
    assert model.head.body.order == values.get("order", "tandem")
    assert (model.head.body.embedding is not None) == ("class_features" in values)
    for name, parameter in model.head.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.slow
@pytest.mark.parametrize("variant", image_heads.HEADS, ids=lambda variant: variant.name)
def test_variants_of_images_train_one_step(variant: Variant, frames: Path) -> None:
    model, step = training_step(variant, data=frames)
    step()
    assert all(parameter.grad is not None for parameter in model.parameters())


def in_this_process(command: list[str], **options: Any) -> None:
    """Train and score here, which saves the imports of two processes; only interventions run in one."""
    if command[0] == "pcseg":
        main(command[1:])
    else:
        run_module(command, **options)


@pytest.mark.slow
def test_study_runs_and_resumes(tmp_path: Path, building: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "run_module", in_this_process)
    study = Study(
        title="T",
        question="Q",
        variants=(Variant(name="ctnet", config="rooms/ctnet"),),
        interventions=(Intervention(change="own", note=""), Intervention(change="zero", note="")),
    )

    budget = ["--trainer.max_epochs", "1", "--data.loop", "1"]

    def go(*options: str) -> tuple[list[Outcome], list[Outcome]]:
        runs, train_options = tmp_path / "runs", [*budget, *options]
        trained = run_study(study, data=building, out=runs, seeds=1, jobs=1, train_options=train_options)
        return trained, run_interventions(study, trained, out=runs, jobs=1)

    trained, (own, zero) = go()
    assert own.results[0]["confusion"] == trained[0].results[0]["confusion"], "own features change nothing"
    assert own.results[0]["provenance"]["put_in"] == "own"
    measure_costs(trained, data=building)
    write_report(study, trained, [own, zero], folder=tmp_path / "report", name="heads", command="C")
    content = json.loads((tmp_path / "report" / "heads.json").read_text())
    (row,) = content["variants"]
    scored = tmp_path / "runs" / "ctnet" / "seed_0" / "evaluation" / "results.json"
    assert row["miou"] == [100 * json.loads(scored.read_text())["scores"]["miou"]["excluded"]]
    assert row["cost"]["parameters"] > 0
    assert row["cost"]["step_s"] > 0
    assert [part["miou"] for part in content["interventions"]] == [own.mious, zero.mious]
    kept = [scored.parents[1] / "best.ckpt", scored.parents[1] / "interventions" / "zero" / "results.json"]
    before = [path.stat().st_mtime_ns for path in kept]
    again, _ = go()
    assert again[0].mious == trained[0].mious
    assert [path.stat().st_mtime_ns for path in kept] == before, "finished runs are kept"
    other = write_fake_building(tmp_path / "other", rooms={"test": 1}, num_points=800)
    (scored_there,) = run_study(
        replace(study, other=other),
        data=building,
        out=tmp_path / "runs",
        seeds=1,
        jobs=1,
        train_options=budget,
    )
    assert scored_there.results[0]["provenance"]["manifest"] == Manifest.read(other).hash
    assert [path.stat().st_mtime_ns for path in kept] == before, "rooms of another folder need no training"
    with pytest.raises(
        UserError, match=r"other settings \(data\.init_args\.batch_size\)\. Give another --out"
    ):
        go("--data.batch_size", "1")
    with pytest.raises(UserError, match=r"does not fit into one pass of 50 voxels\. Raise --points_per_pass"):
        intervene(ckpt=kept[0], out=tmp_path / "put_in", changes=["own"], points_per_pass=50)


def test_unknown_change_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown change 'nothing'\. Choose from own, permuted"):
        intervene(ckpt=tmp_path / "best.ckpt", out=tmp_path, changes=["nothing"])


def test_unknown_study_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    command = runpy.run_path(str(ROOT / "scripts" / "study.py"))["study"]
    with pytest.raises(SystemExit):
        run(command, args=["nothing"])
    assert (
        "nothing: unknown study. Choose from class_features, head_options, heads, image_heads, other_rooms, slabs."
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("option", ["seeds=0", "jobs=0", "epochs=-1", "variants=[]"])
def test_bad_numbers_are_one_line(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = runpy.run_path(str(ROOT / "scripts" / "study.py"))["study"]
    with pytest.raises(SystemExit):
        run(command, args=["heads", f"--{option}"])
    assert capsys.readouterr().err.startswith(f"pcseg: error: --{option.split('=')[0]}: ")
