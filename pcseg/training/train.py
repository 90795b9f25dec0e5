"""Training: data, backbone, head and losses from one configuration, through the Lightning Trainer."""

import json
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import lightning as L
import rich
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import LayerSync
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from pcseg.checkpoint import KEY, ModelCard, differing_keys, read_checkpoint
from pcseg.data.training_data import TrainingData
from pcseg.data.worker_errors import naming_files
from pcseg.errors import UserError, reason
from pcseg.files import make_folder, write_text
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.nn.norms import separate_norms, synchronize_norms
from pcseg.training.initial_weights import history, load_initial_weights
from pcseg.training.logs import EpochLines, MetricsTable
from pcseg.training.recovery import Survival
from pcseg.training.schedules import Schedule
from pcseg.training.segmentor import BackboneChoice, HeadFactory, OptimizerFactory, Segmentor

LossFactory = Callable[[torch.Tensor], SegmentationLoss]
"""Takes the number of training points of every class."""

FREE_TO_CHANGE = ("data.init_args.root", "data.init_args.num_workers", "trainer.devices", "trainer.num_nodes",
                  "trainer.accelerator", "trainer.progress_bar", "trainer.voxel_budget", "trainer.max_bad_steps",
                  "out", "resume", "init_from")  # fmt: skip
"""Settings that may differ between a run and its continuation."""


IGNORED_WARNINGS = (
    ".*does not have many workers.*",  # a choice of the configuration
    ".*isinstance.treespec, LeafSpec.*",  # between lightning and torch
    ".*Checkpoint directory.*exists.*",  # checked by us
    ".*log_every_n_steps.*",
    ".*sync_dist=True.*",  # sums over processes are ours
    ".*all_gather is deprecated.*",  # between lightning and torch
    "Grad strides do not match bucket view strides",  # 1x1 convolutions of channels last: a copy of few numbers
)


@dataclass(kw_only=True)
class TrainerOptions:
    """How long and on what to train."""

    max_epochs: int = 100
    """Passes over the training set (each shows every room or image ``loop`` times)."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Kind of device."""
    devices: int | Literal["auto"] = 1
    """Processes a node; each has a device of its own."""
    num_nodes: int = 1
    """Machines."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic; 16-mixed scales the loss."""
    accumulate_grad_batches: int = 1
    """Batches an optimiser step."""
    gradient_clip_val: float | None = None
    """Largest norm of the gradient."""
    ema_decay: float | None = None
    """Decay of the running average of the weights that is validated and saved; none without a value."""
    sync_batchnorm: bool = False
    """Let batch norms see the batches of all processes together, on any device."""
    check_val_every_n_epoch: int = 1
    """Epochs between two validations."""
    log_every_n_steps: int = 10
    """Steps between two entries of the logs."""
    progress_bar: bool = True
    """Show progress, mIoU and time left; a line an epoch where the output is no terminal."""
    voxel_budget: int | Literal["auto"] | None = "auto"
    """Largest number of voxels of a batch; larger ones are cropped. ``auto``: what the memory holds."""
    max_bad_steps: int = 5
    """Steps without a finite loss or gradient until training goes on in 32 bit; then as many in a row end it."""


def train(
    *,
    data: TrainingData,
    backbone: BackboneChoice,
    head: HeadFactory,
    out: Path,
    loss: LossFactory = SegmentationLoss,
    optimizer: OptimizerFactory = torch.optim.AdamW,
    schedule: Schedule | None = None,
    head_lr_scale: float = 1.0,
    lr_scales: dict[str, float] | None = None,
    trainer: TrainerOptions = TrainerOptions(),  # noqa: B008 - read only
    seed: int = 0,
    resume: bool = False,
    init_from: Path | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Train a segmentation model on rooms or images and return the path of its best checkpoint.

    Args:
        data: Which rooms or images, what the model sees of them, and augmentations.
        backbone: Point backbone, whose input width comes from the data, or image backbone.
        head: Segmentation head; its widths come from backbone and data.
        out: Folder of checkpoints, logs and the resolved configuration.
        loss: Loss of the logits; heads add their own terms.
        optimizer: Any torch optimiser.
        schedule: Learning rate over the progress of training; one cycle without a value.
        head_lr_scale: Learning rate of the head in units of the backbone's.
        lr_scales: Learning rates of the parameters with a word in their name, in units of what they have without:
            ``{blocks: 0.1}`` is PTv3's published recipe.
        trainer: How long and on what.
        seed: Seeds weights, order of rooms, augmentations and dropout.
        resume: Go on with ``out/last.ckpt`` if there is one.
        init_from: Checkpoint whose weights the model starts from.
        config: Resolved configuration, stored in the checkpoints; the command line fills it in. Without it
            a checkpoint holds weights that only :func:`pcseg.checkpoint.load_weights` can use.

    Raises:
        UserError: ``out`` holds another run, a checkpoint does not fit, or the data has no rooms to train on.
    """
    last = out / "last.ckpt"
    config = config or {}
    _require_enough_to_validate(data, trainer)
    card = ModelCard(
        config=config,
        schema=data.schema.to_json(),
        in_channels=data.in_channels,
        manifest_hash=data.manifest_hash,
        seed=seed,
        **data.card(),
    )
    steps, began = 0, None
    if last.exists():
        steps, began = _require_same_run(last, card, resume=resume)
    elif init_from is not None:
        began = history(init_from)
    card = replace(card, initial_weights=began)
    quiet_lightning()
    torch.manual_seed(seed)
    model = Segmentor(
        backbone, head,
        in_channels=data.in_channels, schema=data.schema,
        loss=loss(data.class_counts), optimizer=optimizer, schedule=schedule,
        head_lr_scale=head_lr_scale, lr_scales=lr_scales, seed=seed,
    )  # fmt: skip
    if init_from is not None:
        load_initial_weights(model, init_from)
    make_folder(out)
    write_text(out / "config.json", json.dumps(config, indent=1) + "\n")
    best = ModelCheckpoint(
        dirpath=out, filename="best", monitor="val/miou", mode="max", enable_version_counter=False
    )
    # save_last would write this only where the best one changes
    latest = ModelCheckpoint(dirpath=out, filename="last", enable_version_counter=False)
    survival = Survival(out / "bad_steps", budget=trainer.voxel_budget, max_bad_steps=trainer.max_bad_steps)
    lightning_trainer = build_trainer(trainer, out, [best, latest, StoreCard(card), survival], steps=steps)
    loaders = data.train_loader(seed=seed), data.val_loader()
    try:
        with naming_files(*loaders):
            lightning_trainer.fit(
                model, *loaders, ckpt_path=last if last.exists() else None, weights_only=True
            )
    except SystemExit as error:  # what Lightning makes of Ctrl-C, with the status of a failure
        if not lightning_trainer.interrupted:
            raise
        kept = f"--resume true goes on with {last}" if last.exists() else "nothing is saved yet, run again"
        raise KeyboardInterrupt(kept) from error
    if trainer.progress_bar and lightning_trainer.is_global_zero and best.best_model_score is not None:
        told = f"{best.best_model_path} is the best checkpoint, val/miou {float(best.best_model_score):.3f}"
        rich.get_console().print(told, soft_wrap=True, highlight=False)
    return Path(best.best_model_path)


class StoreCard(Callback):
    """Writes the model card into every checkpoint."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict) -> None:
        checkpoint[KEY] = self.card.as_dict()


class SharedNorms(LayerSync):
    """Batch norms over all processes; Lightning's own would put PyTorch's in their place, without their options."""

    def apply(self, model: torch.nn.Module) -> torch.nn.Module:
        synchronize_norms(model)
        return model

    def revert(self, model: torch.nn.Module) -> torch.nn.Module:
        separate_norms(model)
        return model


def build_trainer(
    options: TrainerOptions, out: Path, callbacks: list[Callback], *, steps: int = 0
) -> L.Trainer:
    """The Lightning Trainer of ``options``, with logs in ``out`` that go on behind ``steps`` steps."""
    callbacks = [*callbacks, LearningRateMonitor("step")]
    console = rich.get_console()
    bar = options.progress_bar and (console.is_terminal or console.is_jupyter)
    if options.progress_bar:
        callbacks.append(RichProgressBar() if bar else EpochLines())
    if options.ema_decay is not None:
        callbacks.append(EMAWeightAveraging(decay=options.ema_decay))
    several = options.devices not in (1, "auto") or options.num_nodes > 1
    try:
        return L.Trainer(
            max_epochs=options.max_epochs,
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.num_nodes,
            strategy="ddp" if several else "auto",
            precision=options.precision,
            accumulate_grad_batches=options.accumulate_grad_batches,
            gradient_clip_val=options.gradient_clip_val,
            plugins=[SharedNorms()] if options.sync_batchnorm else None,
            check_val_every_n_epoch=options.check_val_every_n_epoch,
            log_every_n_steps=options.log_every_n_steps,
            enable_progress_bar=bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # ours count every room once and resume exactly
            callbacks=callbacks,
            logger=[MetricsTable(out, steps=steps), TensorBoardLogger(out, name="", version="logs")],
        )
    except MisconfigurationException as error:  # no such device, or not for this arithmetic
        raise UserError(f"trainer: {reason(error)}") from error


def quiet_lightning() -> None:
    """Silence what Lightning says about itself; errors and our own messages stay."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    for message in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message)


def _require_enough_to_validate(data: TrainingData, options: TrainerOptions) -> None:
    """Every process validates at least one item, because each joins in the sum of the scores."""
    devices = options.devices
    if devices in ("auto", -1):  # all that a node has
        devices = max(torch.cuda.device_count(), 1) if options.accelerator != "cpu" else 1
    processes = options.num_nodes * int(devices)
    if data.num_val < processes:
        raise UserError(
            f"{data.num_val} {data.kind} to validate on for {processes} processes; raise data.val_fraction or name "
            f"data.val_{data.kind}"
        )


def _require_same_run(last: Path, card: ModelCard, *, resume: bool) -> tuple[int, dict[str, Any] | None]:
    """Refuse to write over another run, and to go on with one of another configuration.

    Returns:
        How many steps it made, and what it began from.
    """
    if not resume:
        raise UserError(
            f"{last.parent} holds a run already; give another --out, or --resume true to go on with it"
        )
    content, old = read_checkpoint(last)
    keys = [
        key for key in differing_keys(old.as_dict(), card.as_dict()) if key.startswith(("config.", "schema"))
    ]
    keys = [key.removeprefix("config.") for key in keys]
    keys = [key for key in keys if not key.startswith(FREE_TO_CHANGE)]
    if old.manifest_hash != card.manifest_hash:
        keys.append("data (the manifest's hash)")
    if keys:
        raise UserError(f"{last} belongs to another configuration; these differ: {', '.join(keys)}")
    return content["global_step"], old.initial_weights
