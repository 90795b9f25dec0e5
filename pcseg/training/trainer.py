"""The Lightning Trainer: its options, callbacks and logs."""

import logging
import os
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning as L
import rich
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, RichProgressBar, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import CheckpointIO, LayerSync
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from pcseg.checkpoint import read_checkpoint, write_checkpoint
from pcseg.errors import UserError, reason
from pcseg.nn.norms import synchronize_norms
from pcseg.training.logs import EpochLines, MetricsTable
from pcseg.values import Epochs, Few, Positive, PositiveInt, Processes, Share, checked

IGNORED_WARNINGS = (
    ".*does not have many workers.*",  # set in the configuration
    ".*isinstance.treespec, LeafSpec.*",  # between lightning and torch
    ".*Checkpoint directory.*exists.*",  # train() checks this
    ".*log_every_n_steps.*",
    ".*in eval mode at the start of training.*",  # frozen backbones
    ".*sync_dist=True.*",  # pcseg sums over processes itself
    ".*all_gather is deprecated.*",  # between lightning and torch
    "Grad strides do not match bucket view strides",  # 1x1 convolutions in channels_last: a copy of few numbers
)


@checked("trainer.")
@dataclass(kw_only=True)
class TrainerOptions:
    """Duration, device and precision of training."""

    max_epochs: Epochs = 100
    """Number of epochs; each shows every room or image ``loop`` times."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Type of device."""
    devices: Processes | Literal["auto", -1] = 1
    """Number of processes per node; each uses one device."""
    num_nodes: Processes = 1
    """Number of machines."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Floating-point precision; 16-mixed scales the loss."""
    accumulate_grad_batches: Few = 1
    """Number of batches per optimizer step."""
    gradient_clip_val: Positive | None = None
    """Maximum norm of the gradient; default: no clipping."""
    ema_decay: Share | None = None
    """Decay of the moving average of the weights that is validated and saved; default: no average."""
    sync_batchnorm: bool = False
    """Compute batch statistics over the batches of all processes, on any device."""
    check_val_every_n_epoch: Epochs = 1
    """Number of epochs between validations."""
    log_every_n_steps: PositiveInt = 10
    """Number of steps between log entries."""
    progress_bar: bool = True
    """Show progress, mIoU and remaining time; one line per epoch if the output is not a terminal."""
    voxel_budget: PositiveInt | None = None
    """Maximum number of voxels in a batch per process; larger batches are cropped. Out-of-memory errors lower it."""
    max_skipped_steps: PositiveInt = 5
    """Number of steps with a non-finite loss or gradient until training switches to 32 bit; then the number of
    consecutive ones that end it."""

    def __post_init__(self) -> None:
        if self.check_val_every_n_epoch > self.max_epochs:
            raise UserError(
                f"trainer.check_val_every_n_epoch: {self.check_val_every_n_epoch} of {self.max_epochs} epochs would "
                "never validate. Use at most trainer.max_epochs."
            )

    @property
    def num_processes(self) -> int:
        """Number of processes on all nodes."""
        devices = self.devices
        if devices in ("auto", -1):
            devices = max(torch.cuda.device_count(), 1) if self.accelerator != "cpu" else 1
        return self.num_nodes * int(devices)


def build_trainer(
    options: TrainerOptions, out: Path, callbacks: list[Callback], *, steps: int = 0
) -> L.Trainer:
    """Return a Lightning Trainer that logs to ``out`` and keeps the first ``steps`` steps of an existing log.

    Raises:
        UserError: Lightning rejects the options, such as a device that does not exist, or the GPU has no bf16.
    """
    _require_precision(options)
    callbacks = [*callbacks, LearningRateMonitor("step")]
    console = rich.get_console()
    bar = options.progress_bar and (console.is_terminal or console.is_jupyter)
    if options.progress_bar:
        callbacks.append(RichProgressBar() if bar else EpochLines())
    if options.ema_decay is not None:
        callbacks.append(WeightAveraging(multi_avg_fn=partial(move_averages, options.ema_decay)))
    several = options.devices not in (1, "auto") or options.num_nodes > 1
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:  # batches differ in size, which fragments fixed segments
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
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
            plugins=[SealedCheckpoints(), *([SharedNorms()] if options.sync_batchnorm else [])],
            check_val_every_n_epoch=options.check_val_every_n_epoch,
            log_every_n_steps=options.log_every_n_steps,
            enable_progress_bar=bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # ours show every room once and resume exactly
            callbacks=callbacks,
            logger=[MetricsTable(out, steps=steps), TensorBoardLogger(out, name="", version="logs")],
        )
    except MisconfigurationException as error:
        raise UserError(f"trainer: {reason(error)}") from error


@torch.no_grad()
def move_averages(decay: float, averages: list[Tensor], current: list[Tensor], _: Any = None) -> None:
    """Move ``averages`` to ``decay * averages + (1 - decay) * current``, and set integers, which count batches.

    Lightning's own callback computes every tensor separately: hundreds of launches on a GPU.
    """
    if averages[0].is_floating_point():
        torch._foreach_lerp_(averages, current, 1 - decay)
    else:
        torch._foreach_copy_(averages, current)


def _require_precision(options: TrainerOptions) -> None:
    """Refuse bf16 on a GPU that emulates it, which is slower than 32 bit, or has none."""
    if options.precision != "bf16-mixed" or options.accelerator == "cpu" or not torch.cuda.is_available():
        return
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError(
            f"trainer.precision: {torch.cuda.get_device_name()} has no bf16. Use 16-mixed or 32-true."
        )


class SealedCheckpoints(CheckpointIO):
    """Writes checkpoints by :func:`pcseg.checkpoint.write_checkpoint`. Lightning's own plugin moves a file from
    ``TMPDIR``, which is not atomic between file systems."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_checkpoint(path, checkpoint)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: Any = True
    ) -> dict[str, Any]:
        return read_checkpoint(path).content

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class SharedNorms(LayerSync):
    """Computes batch statistics over all processes. Lightning's own plugin inserts ``torch.nn.SyncBatchNorm``,
    which drops the options of :class:`~pcseg.nn.norms.BatchNorm` and needs a GPU."""

    def apply(self, model: torch.nn.Module) -> torch.nn.Module:
        synchronize_norms(model)
        return model

    def revert(self, model: torch.nn.Module) -> torch.nn.Module:
        return model


def quiet_lightning() -> None:
    """Silence Lightning's notes about its own use; errors and our messages remain."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    for message in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message)
