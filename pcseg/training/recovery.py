"""Training that survives: voxels a batch that fit the memory, steps without memory, steps without a number."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.files import atomic_path
from pcseg.nn.process_statistics import several_processes
from pcseg.training.memory import (
    SMALLEST,
    Meter,
    blocks_of_batch,
    budget_from_memory,
    crop_batch,
    free_cache,
    free_memory,
    is_out_of_memory,
    num_voxels,
)

log = logging.getLogger("pcseg")

RECORDED = 5
"""Batches that are kept of steps without a number."""


class Survival(Callback):
    """Keeps training going where it would end.

    * *Memory*: with ``budget="auto"`` the first step tells what a voxel needs, and batches of more voxels than
      the free memory holds are cropped. A step without memory halves the budget: the forward pass is made again
      with the smaller batch; a backward pass that stops gives up its step. Validation goes on in blocks.
    * *Numbers*: a step whose loss or gradient is not finite changes neither weights nor running statistics, and
      its batch goes to ``folder``. After ``max_bad_steps`` of them mixed precision gives way to 32 bit; as many
      once more, without a good one between, end the training.

    Args:
        folder: Where batches are recorded.
        budget: Largest number of voxels of a batch of one process; ``auto`` finds it, ``None`` sets no limit.
        max_bad_steps: Bad steps until something is done.

    Convention:
        Cropped samples are spheres around a random voxel; random numbers are those of the step, so a resumed run
        repeats them. Several processes share one decision about numbers, since they share gradients; a backward
        pass without memory ends them all, because the others would wait; so does a forward pass if batch norms
        are those of all processes.
    """

    def __init__(
        self, folder: Path, *, budget: int | Literal["auto"] | None = "auto", max_bad_steps: int = 5
    ) -> None:
        self.folder = folder
        self.measures = budget == "auto"
        self.budget = budget if isinstance(budget, int) else None
        self.max_bad_steps = max_bad_steps
        self.bad_steps = 0
        self.bad_in_a_row = 0
        self.full_precision = False
        self._batch: Any = None
        self._loss: float | None = None
        self._statistics: dict[str, Tensor] | None = None
        self._meter: Meter | None = None

    def state_dict(self) -> dict[str, Any]:
        names = ("measures", "budget", "bad_steps", "bad_in_a_row", "full_precision")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        chosen = self.budget  # a number that was asked for now counts more than what was found before
        for name, value in state_dict.items():
            setattr(self, name, value)
        if chosen is not None:
            self.budget, self.measures = chosen, False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Put the module's training step and backward pass behind ours."""
        if stage != "fit":
            return
        step, backward = pl_module.training_step, pl_module.backward

        # plain functions: copies of the module (running averages) must not copy this callback
        def training_step(batch: Any, batch_idx: int) -> Tensor:
            return self._step(pl_module, step, batch, batch_idx)

        def careful_backward(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            self._backward(pl_module, backward, loss, *args, **kwargs)

        validation_step = pl_module.validation_step

        def careful_validation(batch: Any, batch_idx: int) -> None:
            with self._precision(pl_module):
                self._validate(validation_step, batch, batch_idx)

        pl_module.training_step = training_step  # type: ignore[method-assign]
        pl_module.validation_step = careful_validation  # type: ignore[method-assign]
        pl_module.backward = careful_backward  # type: ignore[method-assign]

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for name in ("training_step", "validation_step", "backward"):
            vars(pl_module).pop(name, None)

    def _step(self, module: L.LightningModule, step: Callable, batch: Any, batch_idx: int) -> Tensor:
        """The loss of the batch, cropped to the budget; of a smaller crop where memory runs out."""
        self._batch = batch
        statistics = {name: buffer.clone() for name, buffer in module.named_buffers()}
        while True:
            part = crop_batch(
                copy(batch), self.budget
            )  # what a step puts into it must not reach the next one
            try:
                with self._measured(module, part), self._precision(module):
                    loss = step(part, batch_idx)
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if shares_norms(module):
                    raise _waited_for("forward") from error
                self._halve(part, error)
                _restore(module, statistics)
            free_cache()
        self._batch = part
        self._loss = float(loss.detach())
        # only after the backward pass, which needs what the forward pass has seen
        self._statistics = None if torch.isfinite(loss.detach()) else statistics
        return loss

    def _validate(self, step: Callable, batch: Any, batch_idx: int) -> None:
        """Validate on a batch, or block by block where memory runs out: every voxel counts once all the same."""
        try:
            step(copy(batch), batch_idx)
            return
        except (RuntimeError, MemoryError) as error:
            number = num_voxels(batch)
            if not is_out_of_memory(error) or number is None or number <= SMALLEST:
                raise
        free_cache()
        log.warning("memory ran out with %d voxels of validation: they are seen in blocks", number)
        for block in blocks_of_batch(batch, number // 2):
            self._validate(step, block, batch_idx)

    def _backward(
        self, module: L.LightningModule, backward: Callable, loss: Tensor, *args: Any, **kwargs: Any
    ) -> None:
        try:
            backward(loss, *args, **kwargs)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if module.trainer.world_size > 1:
                raise _waited_for("backward") from error
            self._halve(self._batch, error)
            drop_gradients(module, trainer=module.trainer)
            free_cache()
        if self._statistics is not None:
            _restore(module, self._statistics)
        if self._meter is not None:
            self._set_budget(module)

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Let no step happen whose loss or gradient is not finite."""
        if self._is_good(trainer, pl_module):
            self.bad_in_a_row = 0
            return
        self.bad_steps += 1
        self.bad_in_a_row += 1
        # fused optimisers let the scaler look in their step, for all others it has looked
        checked = not getattr(optimizer, "_step_supports_amp_scaling", False)
        drop_gradients(pl_module, trainer=trainer, checked=checked)
        place = self._record(trainer)
        where = f"; the batch is in {place}" if place else ""
        log.warning("step %d has no finite loss or gradient and is skipped%s", trainer.global_step, where)
        if self.bad_in_a_row >= self.max_bad_steps and (self.full_precision or not is_mixed(trainer)):
            raise UserError(
                f"{self.bad_in_a_row} steps in a row without a finite loss or gradient: training has diverged; "
                f"lower optimizer.lr or set trainer.gradient_clip_val (batches are in {self.folder})"
            )
        if self.bad_steps >= self.max_bad_steps and is_mixed(trainer) and not self.full_precision:
            self.full_precision, self.bad_in_a_row = True, 0
            log.warning("%d such steps: training goes on in 32 bit", self.bad_steps)

    def _is_good(self, trainer: L.Trainer, module: nn.Module) -> bool:
        """Whether the loss and, without a scaler that sees to them, the gradients are finite in all processes."""
        finite = self._loss is None or abs(self._loss) < float("inf")  # nan compares false
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return trainer.strategy.reduce_boolean_decision(finite)
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        if not gradients:
            return finite
        norms = torch.stack([norm.float() for norm in torch._foreach_norm(gradients)])
        return bool(torch.isfinite(norms.sum())) and (finite or trainer.world_size > 1)

    def _record(self, trainer: L.Trainer) -> Path | None:
        """Write the batch of a bad step; ``None`` where enough are recorded."""
        if self.bad_steps > RECORDED:
            return None
        batch = self._batch
        fields = batch.to_dict() if hasattr(batch, "to_dict") else vars(batch)
        rank = f"_rank{trainer.global_rank}" if trainer.world_size > 1 else ""
        path = self.folder / f"step_{trainer.global_step}_{self.bad_steps}{rank}.pt"
        fields = {key: value for key, value in fields.items() if isinstance(value, Tensor | list)}
        fields = {key: value.cpu() if isinstance(value, Tensor) else value for key, value in fields.items()}
        with atomic_path(path) as temporary:
            torch.save({"loss": self._loss, "epoch": trainer.current_epoch, "batch": fields}, temporary)
        return path

    def _halve(self, batch: Any, error: Exception) -> None:
        """Set half the voxels of ``batch`` as the budget."""
        number = num_voxels(batch)
        if number is None or number <= SMALLEST:
            what = "a batch" if number is None else f"{number} voxels"
            raise UserError(
                f"memory does not hold a step of {what}; choose a smaller model or batch"
            ) from error
        self.budget, self.measures = number // 2, False
        log.warning("memory ran out with %d voxels: batches have at most %d from now on", number, number // 2)

    @contextmanager
    def _precision(self, module: L.LightningModule) -> Iterator[None]:
        with torch.autocast(module.device.type, enabled=False) if self.full_precision else _nothing():
            yield

    @contextmanager
    def _measured(self, module: L.LightningModule, batch: Any) -> Iterator[None]:
        """Meter the memory of the first step, if a budget is to be found."""
        number = num_voxels(batch)
        if not self.measures or not number:
            yield
            return
        self._meter = Meter(module.device, number)
        with self._meter.running():
            yield

    def _set_budget(self, module: L.LightningModule) -> None:
        meter, self._meter = self._meter, None
        if meter is None or not self.measures:
            return
        self.measures = False
        free = free_memory(module.device)
        if free is None:
            return
        processes = 1 if module.device.type == "cuda" else module.trainer.num_devices
        # optimisers keep two numbers a weight beside the gradient
        states = 2 * sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
        self.budget = budget_from_memory(free / processes - states, used=meter.used(), voxels=meter.voxels)
        if self.budget < 10 * meter.voxels:  # far from the limit nobody needs to know
            log.info("memory holds %d voxels a batch", self.budget)


def drop_gradients(module: nn.Module, *, trainer: L.Trainer, checked: bool = False) -> None:
    """Leave nothing for the optimiser to step by.

    Args:
        module: Whose gradients are dropped.
        trainer: May scale the loss.
        checked: Whether the scaler has looked for infinite gradients already.
    """
    for parameter in module.parameters():
        parameter.grad = None
    if not checked and getattr(trainer.precision_plugin, "scaler", None) is not None:
        # a scaler wants a gradient; it skips the step because this one is infinite
        first = next(parameter for parameter in module.parameters() if parameter.requires_grad)
        first.grad = torch.full_like(first, torch.inf)


def shares_norms(module: nn.Module) -> bool:
    """Whether processes wait for each other in the forward pass, to share the statistics of batch norms."""
    return several_processes() and any(getattr(part, "synchronized", False) for part in module.modules())


def is_mixed(trainer: L.Trainer) -> bool:
    """Whether the trainer computes in less than 32 bit."""
    return str(trainer.precision).endswith("mixed")


def _waited_for(which: str) -> UserError:
    return UserError(
        f"memory ran out in a {which} pass of several processes; lower data.max_voxels or data.batch_size, then go on "
        "with --resume true"
    )


def _restore(module: nn.Module, statistics: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(statistics[name])


@contextmanager
def _nothing() -> Iterator[None]:
    yield
