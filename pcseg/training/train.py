"""Training: data, backbone, head and losses from one configuration, through the Lightning Trainer."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import rich
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from pcseg.checkpoint import FREE_TO_CHANGE, KEY, Checkpoint, ModelCard, read_checkpoint
from pcseg.config_names import differing_keys
from pcseg.data.training_data import TrainingData
from pcseg.data.worker_errors import name_worker_files
from pcseg.errors import UserError, reason
from pcseg.files import output_folder, write_json
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.training.initial_weights import history, load_initial_weights, read_initial_weights
from pcseg.training.processes import ending_together
from pcseg.training.recovery import Recovery
from pcseg.training.schedules import Schedule
from pcseg.training.segmentor import BackboneChoice, HeadFactory, OptimizerFactory, Segmentor
from pcseg.training.trainer import TrainerOptions, build_trainer, quiet_lightning
from pcseg.values import Seed, Weight, check_numbers, checked

logger = logging.getLogger("pcseg")

LossFactory = Callable[[torch.Tensor], SegmentationLoss]
"""Called with the number of training points per class."""


@checked("")
def train(
    *,
    data: TrainingData,
    backbone: BackboneChoice,
    head: HeadFactory,
    out: Path,
    loss: LossFactory = SegmentationLoss,
    optimizer: OptimizerFactory = torch.optim.AdamW,
    schedule: Schedule | None = None,
    head_lr_scale: Weight = 1.0,
    lr_scales: dict[str, Weight] | None = None,
    trainer: TrainerOptions = TrainerOptions(),  # noqa: B008 - read only
    seed: Seed = 0,
    resume: bool = False,
    init_from: Path | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Train a segmentation model on rooms or images and return the path of its best checkpoint.

    Args:
        data: Training and validation data, input features and augmentations.
        backbone: Point backbone, whose input width follows from the data, or image backbone.
        head: Segmentation head, whose input widths follow from the backbone.
        out: Folder for checkpoints, logs and the resolved configuration.
        loss: Loss of the logits; heads add their own terms.
        optimizer: Any torch optimizer.
        schedule: Learning rate over the progress of training; default: one cycle.
        head_lr_scale: Multiplier of the head's learning rate.
        lr_scales: Multipliers of learning rates by a part of the parameter's name; the first match counts.
            ``{blocks: 0.1}`` is PTv3's published setting.
        trainer: Duration, device and precision.
        seed: Seeds weights, order of rooms, augmentations and dropout.
        resume: Continue from ``out/last.ckpt`` if it exists.
        init_from: Checkpoint with the initial weights.
        config: Resolved configuration to store in the checkpoints; the command line passes it. Without it,
            checkpoints hold only weights, for :func:`pcseg.checkpoint.load_weights`.

    Raises:
        UserError: ``out`` holds another run, a checkpoint does not fit, or no rooms remain to train on.
    """
    _require_validation_data(data, trainer)
    _check_optimizer(optimizer)
    # other processes of this run write nothing but batches of non-finite steps
    with nullcontext() if rank_zero_only.rank else output_folder(out):
        start = _find_start(out, resume=resume)
        initial = None if init_from is None or start else read_initial_weights(init_from)
        card = _model_card(data, config or {}, seed, start=start, initial=initial)
        quiet_lightning()
        torch.manual_seed(seed)
        model = Segmentor(
            backbone, head,
            in_channels=data.in_channels, schema=data.schema,
            loss=loss(data.class_counts), optimizer=optimizer, schedule=schedule,
            head_lr_scale=head_lr_scale, lr_scales=lr_scales, seed=seed,
            recovery=Recovery(
                out / "skipped_steps", budget=trainer.voxel_budget, max_skipped=trainer.max_skipped_steps
            ),
        )  # fmt: skip
        if initial is not None:
            load_initial_weights(model, initial)
        _require_fixed_samples(data, model)
        write_json(out / "config.json", card.config)
        data.seed = seed
        best = _fit(model, data, card, trainer, out=out, start=start)
    if trainer.progress_bar and model.global_rank == 0 and best.best_model_score is not None:
        score = f"{best.best_model_path} is the best checkpoint, val/miou {float(best.best_model_score):.3f}"
        rich.get_console().print(score, soft_wrap=True, highlight=False)
    return Path(best.best_model_path)


def _fit(
    model: Segmentor,
    data: TrainingData,
    card: ModelCard,
    options: TrainerOptions,
    *,
    out: Path,
    start: Checkpoint | None,
) -> ModelCheckpoint:
    """Train ``model`` and return the callback that tracks the best checkpoint."""
    best = ModelCheckpoint(
        dirpath=out, filename="best", monitor="val/miou", mode="max", enable_version_counter=False
    )
    # save_last would write this only where the best one changes
    latest = ModelCheckpoint(dirpath=out, filename="last", enable_version_counter=False)
    steps = start.content["global_step"] if start else 0
    trainer = build_trainer(options, out, [best, latest, StoreCard(card, out)], steps=steps)
    try:
        with ending_together(trainer), name_worker_files(data.worker_files):
            path = start.path if start else None
            trainer.fit(model, datamodule=data, ckpt_path=path, weights_only=True)
    except SystemExit as error:  # raised by Lightning on Ctrl-C, with the exit status of a failure
        if not trainer.interrupted:
            raise
        last = out / "last.ckpt"
        kept = f"continue with --resume true from {last}" if last.exists() else "no checkpoint is saved yet"
        raise KeyboardInterrupt(kept) from error
    return best


class StoreCard(Callback):
    """Writes the model card into every checkpoint, and what recovery has changed to ``out/recovery.json``."""

    def __init__(self, card: ModelCard, out: Path) -> None:
        self.card = card
        self.out = out

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict) -> None:
        assert isinstance(pl_module, Segmentor)
        state = pl_module.recovery.state()
        checkpoint[KEY] = replace(self.card, recovery=state).as_dict()
        if trainer.is_global_zero and any([*state["voxel_budgets"], state["skipped_steps"]]):
            write_json(self.out / "recovery.json", state)


def _check_optimizer(factory: OptimizerFactory) -> None:
    """Make an optimizer of one parameter, so that its settings are checked before anything is written."""
    try:
        optimizer = factory([torch.nn.Parameter(torch.zeros(1, 1))])
    except (ValueError, TypeError) as error:
        raise UserError(f"optimizer: {reason(error)}. Correct optimizer.init_args.") from error
    for group in optimizer.param_groups:
        check_numbers({key: value for key, value in group.items() if key != "params"}, prefix="optimizer.")


def _require_validation_data(data: TrainingData, options: TrainerOptions) -> None:
    """Require labels, and one item per process, because every process takes part in the sum of the scores."""
    num_val = len(data.val_sizes)
    if num_val < options.num_processes:
        raise UserError(
            f"data: {num_val} {data.kind} to validate on for {options.num_processes} processes. Raise "
            "data.val_fraction or set data.val_splits."
        )
    for purpose, labeled in (("train", bool(data.class_counts.any())), ("validate", data.has_val_labels)):
        if not labeled:
            raise UserError(f"data: the {data.kind} to {purpose} on have no labels. Check data.*_splits.")


def _find_start(out: Path, *, resume: bool) -> Checkpoint | None:
    """Return the newest whole checkpoint of a run, ``None`` for a new run.

    Raises:
        UserError: The run is not to be resumed, or all its checkpoints are damaged.
    """
    paths = [path for name in ("last", "best") if (path := out / f"{name}.ckpt").exists()]
    if paths and not resume:
        raise UserError(f"{out}: contains a run. Choose another --out, or continue it with --resume true.")
    damage: UserError | None = None
    for path in paths:
        try:
            checkpoint = read_checkpoint(path)
        except UserError as error:
            damage = damage or error
            continue
        if damage is not None:
            logger.warning("%s Training continues from %s.", damage, path)
        return checkpoint
    if damage is not None:
        raise damage
    return None


def _require_fixed_samples(data: TrainingData, model: Segmentor) -> None:
    """Refuse a cache of features that would grow with every step."""
    if not data.fixed and any(getattr(part, "cache", None) is not None for part in model.modules()):
        raise UserError(
            "cache: features of random samples are never used again. Pass --data.whole_rooms true, or no cache."
        )


def _model_card(
    data: TrainingData,
    config: dict[str, Any],
    seed: int,
    *,
    start: Checkpoint | None,
    initial: Checkpoint | None,
) -> ModelCard:
    """Return the card of a new run, or of one that continues from ``start``."""
    card = ModelCard(
        config=config,
        schema=data.schema.to_json(),
        in_channels=data.in_channels,
        manifest_hash=data.manifest_hash,
        seed=seed,
        **data.card(),
    )
    if start is None:
        return replace(card, initial_weights=None if initial is None else history(initial))
    old = start.card
    keys = differing_keys(old.config, card.config)
    keys = [key for key in keys if not key.startswith(FREE_TO_CHANGE)]
    if old.schema != card.schema:
        keys.append("data (the label schema)")
    if old.manifest_hash != card.manifest_hash:
        keys.append("data (the manifest's hash)")
    if keys:
        raise UserError(
            f"{start.path}: belongs to a run with other options: {', '.join(keys)}. Restore them or choose another "
            "--out."
        )
    return replace(card, initial_weights=old.initial_weights)
