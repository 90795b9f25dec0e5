"""Backbone, head and losses as one trainable module."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_
from torch.optim import Optimizer

from pcseg.backbones.contract import PointBackbone
from pcseg.checkpoint import KEY
from pcseg.errors import UserError, is_out_of_memory
from pcseg.heads.base import HeadOutput
from pcseg.labels import IGNORE_INDEX, LabelSchema
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.network import BackboneChoice, Batch, HeadFactory, Network
from pcseg.training.recovery import Recovery, crop_batch, drop_gradients, parameters_of
from pcseg.training.schedules import OneCycle, Schedule

OptimizerFactory = Callable[[Iterable], Optimizer]
"""Called with parameters or parameter groups."""


class Segmentor(Network, L.LightningModule):
    """Backbone → head → losses, and their training.

    Args:
        backbone, head, in_channels, schema: See :class:`~pcseg.network.Network`.
        loss: Loss of the logits; the head adds its own terms. Not needed for inference.
        optimizer: Factory called with the parameter groups. Not needed for inference.
        schedule, head_lr_scale, lr_scales: See :func:`pcseg.training.train.train`.
        seed: Seeds the random numbers (dropout) of each training step.
        recovery: Handles out-of-memory errors and non-finite steps.

    Convention:
        The random numbers of a step depend only on seed, epoch, batch and process, so that a resumed run repeats
        those of an uninterrupted run.
    """

    def __init__(
        self,
        backbone: BackboneChoice | PointBackbone,
        head: HeadFactory,
        *,
        in_channels: int,
        schema: LabelSchema,
        loss: SegmentationLoss | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        head_lr_scale: float = 1.0,
        lr_scales: Mapping[str, float] | None = None,
        seed: int = 0,
        recovery: Recovery | None = None,
    ) -> None:
        super().__init__(backbone, head, in_channels=in_channels, schema=schema)
        self.loss = loss
        self.optimizer_factory = optimizer
        self.schedule = schedule or OneCycle()
        self.head_lr_scale = head_lr_scale
        self.lr_scales = lr_scales or {}
        self.seed = seed
        self.recovery = recovery or Recovery()
        self.val_confusion = ConfusionMatrix(schema.num_classes)
        self._schedule_shift = 0  # steps that the schedule is ahead of the optimizer
        self._hits = torch.zeros(2, dtype=torch.int64)  # correct and labeled points of this epoch

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint.get(KEY, {}).get("recovery")
        if state is not None:
            self.recovery.load_state(state, rank=self.global_rank, world_size=self.trainer.world_size)

    def losses(self, output: HeadOutput, batch: Batch) -> dict[str, Tensor]:
        """Return all weighted loss terms by name."""
        assert self.loss is not None, "built for inference"
        return self.loss(output.logits, batch.y) | self.head.losses(output, batch)

    def on_train_start(self) -> None:
        """Continue the schedule at the epoch of the run if earlier epochs had another number of steps."""
        per_epoch = int(self.trainer.estimated_stepping_batches) // (self.trainer.max_epochs or 1)
        beyond = self.trainer.global_step - self.current_epoch * per_epoch
        if not 0 <= beyond <= per_epoch:  # a checkpoint of a validation holds all steps of its epoch
            self._schedule_shift = -beyond

    def on_train_epoch_start(self) -> None:
        self._hits = torch.zeros(2, dtype=torch.int64, device=self.device)
        self.recovery.copy_buffers(self)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        words = (self.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch. If memory runs out, halve the voxel budget and repeat the forward pass."""
        while True:
            part = crop_batch(batch, self.recovery.budget)
            try:
                with self.recovery.precision(self.device.type):
                    loss = self._training_loss(part)
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.recovery.halve_budget(part, error, others_wait=self._shares_statistics)
            torch.cuda.empty_cache()  # outside the handler, since the error keeps activations alive
        self.recovery.batch, self.recovery.loss = part, loss.detach()
        return loss

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute the gradient. If memory runs out, halve the voxel budget and skip the step."""
        try:
            super().backward(loss, *args, **kwargs)
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            others_wait = self.trainer.world_size > 1
            self.recovery.halve_budget(self.recovery.batch, error, others_wait=others_wait)
        drop_gradients(self)
        torch.cuda.empty_cache()

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient by its norm. Skip the step if the loss or the gradient is not finite."""
        norm = self.recovery.check_step(self, optimizer)
        if norm is None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            clip_grads_with_norm_(parameters_of(optimizer), gradient_clip_val, norm)

    def _training_loss(self, batch: Batch) -> Tensor:
        output = self(batch)
        losses = self.losses(output, batch)
        total = torch.stack(list(losses.values())).sum()
        labeled = batch.y != IGNORE_INDEX
        correct = (best_class(output.logits.detach()) == batch.y) & labeled
        self._hits += torch.stack([correct.sum(), labeled.sum()])
        logs = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(logs, batch_size=batch.num_graphs)
        self.log("loss", total.detach(), prog_bar=True, batch_size=batch.num_graphs)
        return total * self._label_weight(labeled)

    def _label_weight(self, labeled: Tensor) -> Tensor | float:
        """Return the number of labeled points over its mean per process, so that averaged gradients equal those
        of a single process."""
        if self.trainer.world_size == 1:
            return 1.0
        here = labeled.sum().float()
        mean = self.all_gather(here).float().mean()  # type: ignore[union-attr]
        return here / mean.clamp(min=1)

    @property
    def _shares_statistics(self) -> bool:
        """Whether other processes wait for this one in the forward pass, to share statistics of batch norms."""
        return self.trainer.world_size > 1 and any(
            getattr(part, "synchronized", False) for part in self.modules()
        )

    def on_train_epoch_end(self) -> None:
        correct, labeled = self.trainer.strategy.reduce(self._hits, reduce_op="sum").tolist()
        if labeled:  # none in a run that resumes after the last step of an epoch
            self.log("train/acc", correct / labeled, rank_zero_only=True)
        changes = self.recovery.state()
        if any(budget is not None for budget in changes["voxel_budgets"]):
            smallest = min(budget for budget in changes["voxel_budgets"] if budget is not None)
            self.log("train/voxel_budget", float(smallest), rank_zero_only=True)
        for name in ("skipped_steps", "full_precision"):
            if changes[name]:
                self.log(f"train/{name}", float(changes[name]), rank_zero_only=True)

    def on_validation_epoch_start(self) -> None:
        """Require weights that a finite loss has trained, so that no other checkpoint is ever the best one.

        Raises:
            UserError: All steps so far were skipped, or a weight is NaN or infinite.
        """
        if self.trainer.state.fn != "fit":
            return
        steps, skipped = self.trainer.global_step, self.recovery.skipped
        if skipped and skipped >= steps:
            raise UserError(
                f"optimizer: no step of {steps} had a finite loss and gradient. Lower optimizer.lr or check the data."
            )
        finite = torch.stack([torch.isfinite(parameter).all() for parameter in self.parameters()])
        for (name, _), known in zip(self.named_parameters(), finite.tolist()):  # read once
            if not known:
                raise UserError(f"optimizer: {name} is no longer finite. Lower optimizer.lr and train again.")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        try:
            with self.recovery.precision(self.device.type):
                logits = self(batch).logits
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                "data: a validation batch does not fit into memory. Hold out smaller rooms with data.val_rooms or "
                "use a larger data.grid_size, then continue with --resume true."
            ) from error
        self.val_confusion.update(best_class(logits), batch.y)

    def on_validation_epoch_end(self) -> None:
        total = self.val_confusion.summed_over_processes()
        self.val_confusion.reset()
        if not total.labeled.any():  # a score of NaN would choose the first checkpoint
            raise UserError("data: no validation voxel has a label. Hold out rooms with more labels.")
        self.log("val/miou", total.mean_iou(), prog_bar=True)
        self.log("val/acc", total.overall_accuracy())
        self.log("val/points", float(total.labeled.sum()))

    def configure_optimizers(self):
        assert self.optimizer_factory is not None, "built for inference"
        groups = self._parameter_groups()
        optimizer = self.optimizer_factory([{"params": parameters} for _, parameters in groups])
        for group, (scale, _) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] *= scale
        steps = max(int(self.trainer.estimated_stepping_batches) - 1, 1)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.schedule((step + self._schedule_shift) / steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _parameter_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Return the parameters of backbone and head with the multiplier of their learning rate."""
        unused, groups = set(self.lr_scales), []
        for prefix, scale in (("backbone", 1.0), ("head", self.head_lr_scale)):
            by_factor: dict[float, list[nn.Parameter]] = {1.0: []}
            for name, parameter in getattr(self, prefix).named_parameters(prefix):
                words = [word for word in self.lr_scales if word in name]
                by_factor.setdefault(self.lr_scales[words[0]] if words else 1.0, []).append(parameter)
                unused.difference_update(words)
            groups += [(scale * factor, parameters) for factor, parameters in by_factor.items()]
        if unused:
            raise UserError(
                f"lr_scales: no parameter name contains {', '.join(sorted(unused))}. Correct or remove the entry."
            )
        return groups


def best_class(logits: Tensor) -> Tensor:
    """Return the class with the largest logit in each row of ``(N, K)``.

    Convention:
        ``max`` instead of ``argmax``, which is five times slower on a CPU if classes come first in memory, as
        they do for pixels.
    """
    return logits.max(1).indices
