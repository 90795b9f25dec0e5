"""Recovery from out-of-memory errors and from training steps with a non-finite loss or gradient."""

import logging
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch_geometric.data import Batch

from pcseg.errors import UserError
from pcseg.files import atomic_path

log = logging.getLogger("pcseg")

MAX_RECORDS = 5
"""Number of non-finite steps whose batches are written to disk."""

SMALLEST_BATCH = 64
"""A batch of this many voxels must fit into memory: with fewer, training is pointless."""

SNAPSHOT_STEPS = 20
"""Optimizer steps between two copies of the buffers."""


class Recovery:
    """State that lets :class:`~pcseg.training.segmentor.Segmentor` continue after a failed training step.

    *Out of memory.* Batches are cropped to ``budget`` voxels. A forward pass that runs out of memory halves the
    budget and is repeated. A backward pass that runs out of memory halves the budget and skips the step.

    *Non-finite steps.* A step with NaN or Inf in its loss or gradient is skipped: weights and optimizer state do
    not change, and its batch is written to ``folder``. After ``max_skipped`` skipped steps, training switches from
    mixed precision to 32 bit. ``max_skipped`` consecutive skipped steps in 32 bit end the training.

    Args:
        folder: Folder for the batches of non-finite steps; ``None`` writes none.
        budget: Maximum number of voxels in a batch of one process; ``None`` sets no limit.
        max_skipped: Number of non-finite steps that triggers the next measure.

    Convention:
        A normal step costs one value read from the device, as in ``torch.amp.GradScaler.step``, and no copy of
        weights or buffers. A skipped step resets the buffers (running statistics of batch norms) to a copy that
        is at most :data:`SNAPSHOT_STEPS` steps old. This does not affect training, which normalizes by batch
        statistics; the running averages catch up within tens of steps. A repeated forward pass adds its batch to
        the running averages a second time.

        All processes skip the same steps because they share gradients. Each process has its own budget.
    """

    def __init__(
        self, folder: Path | None = None, *, budget: int | None = None, max_skipped: int = 5
    ) -> None:
        self.folder = folder
        self.budget = budget
        self.max_skipped = max_skipped
        self.skipped = 0
        self.consecutive = 0
        self.full_precision = False
        self.batch: Any = None
        self.loss = torch.zeros(())
        self._buffers: list[Tensor] = []

    def state(self) -> dict[str, Any]:
        """Return what recovery has changed so far. All processes must call this together."""
        budgets: list[int | None] = [self.budget]
        if dist.is_available() and dist.is_initialized():
            budgets = [None] * dist.get_world_size()
            dist.all_gather_object(budgets, self.budget)
        return {
            "voxel_budgets": budgets,
            "skipped_steps": self.skipped,
            "consecutive_skipped_steps": self.consecutive,
            "full_precision": self.full_precision,
        }

    def load_state(self, state: dict[str, Any], *, rank: int, world_size: int) -> None:
        """Continue from :meth:`state`. A budget chosen for this run takes precedence over the stored one."""
        budgets = state["voxel_budgets"]
        if self.budget is None and len(budgets) == world_size:
            self.budget = budgets[rank]
        elif self.budget is None:
            self.budget = min((budget for budget in budgets if budget is not None), default=None)
        self.skipped, self.consecutive = state["skipped_steps"], state["consecutive_skipped_steps"]
        self.full_precision = state["full_precision"]

    def precision(self, device_type: str) -> AbstractContextManager:
        """Return a context that turns mixed precision off once training has switched to 32 bit."""
        return torch.autocast(device_type, enabled=False) if self.full_precision else nullcontext()

    def halve_budget(self, batch: Any, error: Exception, *, others_wait: bool) -> None:
        """Limit batches to half the voxels of ``batch``, which ran out of memory.

        Raises:
            UserError: Other processes wait for this one, or the batch cannot be made smaller.
        """
        if others_wait:
            raise UserError(
                "data: one of several processes ran out of memory. Lower data.max_voxels or data.batch_size, then "
                "continue with --resume true."
            ) from error
        number = num_voxels(batch)
        if number is None or number <= SMALLEST_BATCH:
            what = "a batch" if number is None else f"a batch of {number} voxels"
            raise UserError(
                f"data: {what} does not fit into memory. Choose a smaller model or a lower data.batch_size."
            ) from error
        self.budget = number // 2
        log.warning("Out of memory with %d voxels: batches are now cropped to %d", number, self.budget)

    def copy_buffers(self, module: nn.Module) -> None:
        """Remember the buffers of ``module`` for the next skipped step."""
        buffers = list(module.buffers())
        if len(self._buffers) != len(buffers):
            self._buffers = [torch.empty_like(buffer) for buffer in buffers]
        for number in (True, False):  # one kernel copies all tensors of a type
            pairs = [pair for pair in zip(self._buffers, buffers) if pair[0].is_floating_point() is number]
            if pairs:
                torch._foreach_copy_([pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def check_step(self, module: L.LightningModule, optimizer: torch.optim.Optimizer) -> Tensor | None:
        """Skip the optimizer step, by dropping the gradient, unless loss and gradient are finite.

        Returns:
            Norm of the gradient; ``None`` for ``16-mixed``, where the loss scaler checks the gradient.
        """
        trainer, norm = module.trainer, None
        if has_scaler(trainer):
            finite = trainer.strategy.reduce_boolean_decision(bool(torch.isfinite(self.loss)))
        else:
            norm = get_total_norm([p.grad for p in parameters_of(optimizer) if p.grad is not None])
            # processes share the gradient but not the loss
            finite = bool(torch.isfinite(norm if trainer.world_size > 1 else norm + self.loss))
        if not finite:
            self._skip(module, optimizer)
            return norm
        self.consecutive = 0
        if trainer.global_step % SNAPSHOT_STEPS == 0:
            self.copy_buffers(module)
        return norm

    def _skip(self, module: L.LightningModule, optimizer: torch.optim.Optimizer) -> None:
        trainer = module.trainer
        self.skipped += 1
        self.consecutive += 1
        drop_gradients(module, optimizer=optimizer)
        with torch.no_grad():
            for buffer, before in zip(module.buffers(), self._buffers):
                buffer.copy_(before)
        path = self._record(trainer)
        where = f"; its batch is in {path}" if path else ""
        log.warning("Step %d skipped: its loss or gradient is not finite%s", trainer.global_step, where)
        mixed = str(trainer.precision).endswith("mixed") and not self.full_precision
        if self.consecutive >= self.max_skipped and not mixed:
            raise UserError(
                f"optimizer: training diverged: {self.consecutive} consecutive steps had no finite loss or gradient. "
                f"Lower optimizer.lr or set trainer.gradient_clip_val (the batches are in {self.folder})."
            )
        if self.skipped >= self.max_skipped and mixed:
            self.full_precision, self.consecutive = True, 0
            log.warning("%d steps skipped: training continues in 32 bit", self.skipped)

    def _record(self, trainer: L.Trainer) -> Path | None:
        """Write the batch of a non-finite step and return its path, ``None`` when enough are written."""
        if self.folder is None or self.skipped > MAX_RECORDS:
            return None
        fields = self.batch.to_dict() if hasattr(self.batch, "to_dict") else vars(self.batch)
        fields = {key: value for key, value in fields.items() if isinstance(value, Tensor | list)}
        fields = {key: value.cpu() if isinstance(value, Tensor) else value for key, value in fields.items()}
        rank = f"_rank{trainer.global_rank}" if trainer.world_size > 1 else ""
        path = self.folder / f"step_{trainer.global_step}_{self.skipped}{rank}.pt"
        with atomic_path(path) as temporary:
            content = {"loss": float(self.loss), "epoch": trainer.current_epoch, "batch": fields}
            torch.save(content, temporary)
        return path


def drop_gradients(module: L.LightningModule, *, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Remove all gradients, so that the optimizer step does nothing.

    Args:
        optimizer: Optimizer whose step follows; ``None`` inside the backward pass.
    """
    for parameter in module.parameters():
        parameter.grad = None
    # fused optimizers have the scaler check gradients in their step, others before it
    is_checked = optimizer is not None and not getattr(optimizer, "_step_supports_amp_scaling", False)
    if has_scaler(module.trainer) and not is_checked:
        # the scaler requires a gradient, and skips the step because this one is infinite
        first = next(parameter for parameter in module.parameters() if parameter.requires_grad)
        first.grad = torch.full_like(first, torch.inf)


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Return all parameters that an optimizer changes."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def has_scaler(trainer: L.Trainer) -> bool:
    """Return whether the trainer scales the loss (``16-mixed``)."""
    return getattr(trainer.precision_plugin, "scaler", None) is not None


def num_voxels(batch: Any) -> int | None:
    """Return the number of voxels of a batch of clouds, ``None`` for other batches: these cannot be cropped."""
    return len(batch["grid_pos"]) if isinstance(batch, Batch) and "grid_pos" in batch else None


def crop_batch(batch: Any, budget: int | None) -> Any:
    """Return a batch with at most ``budget`` voxels: the same fraction of each cloud, around a random voxel.

    A batch that fits is copied without its tensors, so that a model may set fields of the result.
    """
    total = num_voxels(batch)
    if budget is None or total is None or total <= budget:
        return copy(batch)
    clouds = []
    for cloud in batch.to_data_list():
        count = len(cloud.grid_pos)
        grid_pos = cloud.grid_pos.float()
        center = grid_pos[int(torch.randint(count, ())) if count else 0]
        keep = min(max(int(budget * count / total), 1), count)
        index = (grid_pos - center).square().sum(1).topk(keep, largest=False).indices.sort().values
        for key, value in cloud.to_dict().items():
            if isinstance(value, Tensor) and value.dim() and len(value) == count:
                cloud[key] = value[index]
        clouds.append(cloud)
    return Batch.from_data_list(clouds)
