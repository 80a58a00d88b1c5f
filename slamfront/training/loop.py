"""The training loop: steps, EMA, checkpoints, figures; on a CPU, on a GPU, or on several through torchrun."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from slamfront import config
from slamfront.errors import OutputError, TrainingError, refused_as
from slamfront.models.precision import cpu_has_bfloat16
from slamfront.training.checkpoints import TrainingState, load_training, save_training
from slamfront.training.recipe import Recipe, ScheduleRecipe, recipe_of_checkpoint
from slamfront.training.tasks.registry import new_model, task_of
from slamfront.training.tasks.task import Model, Task

log = logging.getLogger(__name__)

CHECKPOINT, FIGURES, RECIPE = "checkpoint.pt", "figures.jsonl", "recipe.yaml"
"""Files of a training's folder."""


@dataclass(frozen=True)
class Place:
    """Where a process computes: its device, its number, and how many there are."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and tells."""
        return self.rank == 0


def train(recipe: Recipe, folder: Path, overfit: bool = False, steps: int | None = None) -> dict[str, float]:
    """Train as a recipe says, into a folder, from where an earlier training there stopped; returns the last figures.

    overfit: only the first batch is seen, again and again, which must go well with any sound recipe. steps: stop after
    this many, though the schedule is that of the recipe. A folder with a checkpoint of another recipe is refused with
    TrainingError.
    """
    place = _place()
    try:
        return _Training(recipe, folder, place, overfit).run(recipe.schedule.steps if steps is None else steps)
    finally:
        if place.count > 1:
            dist.destroy_process_group()


class _Training:
    def __init__(self, recipe: Recipe, folder: Path, place: Place, overfit: bool) -> None:
        self._recipe, self._folder, self._place, self._overfit = recipe, folder, place, overfit
        self._text = config.dump(recipe)
        self._task: Task = task_of(recipe)
        self._model = _placed(new_model(recipe), place.device)
        self._averaged = _placed(new_model(recipe), place.device).requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(self._model, recipe.schedule.weight_decay), lr=recipe.schedule.learning_rate
        )
        self._step, self._seconds = 0, 0.0
        self._begin()
        self._spread: nn.Module = DistributedDataParallel(self._model) if place.count > 1 else self._model

    def run(self, until: int) -> dict[str, float]:
        report, schedule = self._recipe.report, self._recipe.schedule
        started, sums, figures = time.monotonic() - self._seconds, dict[str, Tensor](), dict[str, float]()
        for batch in self._batches(until):
            for name, loss in self._update(batch).items():
                sums[name] = sums.get(name, torch.zeros((), device=loss.device)) + loss
            self._step += 1
            self._seconds = time.monotonic() - started
            last = self._step in (until, schedule.steps)
            if self._step % report.log_every == 0:
                self._tell({name: float(total) / report.log_every for name, total in sums.items()})
                sums = {}
            if self._step % report.validate_every == 0 or last:
                figures = self._validate()
            if self._step % report.save_every == 0 or last:
                self._save()
        return figures

    def _update(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        schedule = self._recipe.schedule
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(schedule, self._step)
        self._spread.train()
        with _autocast(self._place.device):
            losses = self._task.losses(self._spread, batch)
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        if not torch.isfinite(nn.utils.clip_grad_norm_(self._model.parameters(), schedule.clip)):
            log.warning("step %d has no finite gradient and is left out", self._step)
        else:
            self._optimizer.step()
        self._update_ema(min(schedule.ema, (1 + self._step) / (10 + self._step)))
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def _update_ema(self, decay: float) -> None:
        learned = self._model.state_dict()
        for name, mean in self._averaged.state_dict().items():
            if mean.dtype.is_floating_point:
                mean.lerp_(learned[name], 1 - decay)
            else:
                mean.copy_(learned[name])

    def _batches(self, until: int) -> Iterator[dict[str, Tensor]]:
        """Give the batches of the steps to come, this process's share of each."""
        schedule, place = self._recipe.schedule, self._place
        examples = self._task.examples(schedule.steps * schedule.batch)
        numbers = [
            number
            for step in range(self._step, until)
            for number in range(place.rank, schedule.batch, place.count)
            for number in [number if self._overfit else step * schedule.batch + number]
        ]
        workers = self._recipe.data.workers
        loader: DataLoader[Any] = DataLoader(
            _Chosen(examples, numbers),
            batch_size=schedule.batch // place.count,
            num_workers=workers,
            worker_init_fn=_one_thread,
            prefetch_factor=4 if workers else None,
            pin_memory=place.device.type == "cuda",
        )
        for batch in loader:
            yield {name: value.to(place.device, non_blocking=True) for name, value in batch.items()}

    def _begin(self) -> None:
        path = self._folder / CHECKPOINT
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be made ({error.strerror})") from error
        if not path.is_file():
            if self._place.first:
                (self._folder / RECIPE).write_text(self._text)
            return
        state = load_training(path)
        # What a recipe does not name has its default, also where it was written before there was such a key.
        if recipe_of_checkpoint(state.recipe, f"the recipe in {path}") != self._recipe:
            raise TrainingError(f"{path} is of another recipe: choose another folder, or remove it")
        with refused_as(TrainingError, f"{path} does not fit its own recipe, or is damaged"):
            self._model.load_state_dict(state.model)
            self._averaged.load_state_dict(state.averaged)
            self._optimizer.load_state_dict(state.optimizer)
        self._step, self._seconds = state.step, state.seconds
        log.info("going on after step %d", self._step)

    def _save(self) -> None:
        if self._place.first:
            state = TrainingState(
                self._text,
                self._step,
                self._model.state_dict(),
                self._averaged.state_dict(),
                self._optimizer.state_dict(),
                self._seconds,
            )
            save_training(self._folder / CHECKPOINT, state)

    def _validate(self) -> dict[str, float]:
        if not self._place.first:
            return {}
        figures = self._task.validate(cast(Model, self._averaged.eval()).network)
        self._tell(figures, kind="validation")
        return figures

    def _tell(self, figures: Mapping[str, float], kind: str = "training") -> None:
        if not self._place.first or not figures:
            return
        rate = self._step * self._recipe.schedule.batch / max(self._seconds, 1e-9)
        line = {"kind": kind, "step": self._step, "seconds": round(self._seconds, 1)}
        with (self._folder / FIGURES).open("a") as file:
            file.write(json.dumps(line | {name: round(value, 5) for name, value in figures.items()}) + "\n")
        told = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        log.info("%s step %d of %d  %s  (%.1f a second)", kind, self._step, self._recipe.schedule.steps, told, rate)


class _Chosen(Dataset[Any]):
    def __init__(self, examples: Dataset[Any], numbers: list[int]) -> None:
        self._examples, self._numbers = examples, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Any:
        return self._examples[self._numbers[index]]


def learning_rate(schedule: ScheduleRecipe, step: int) -> float:
    """Return the rate at a step: a straight rise, then a cosine down to the lowest."""
    if step < schedule.warmup:
        return schedule.learning_rate * (step + 1) / schedule.warmup
    progress = (step - schedule.warmup) / max(schedule.steps - schedule.warmup, 1)
    above = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return schedule.learning_rate * (schedule.lowest + (1 - schedule.lowest) * above)


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; offsets, norms and the temperature do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _placed(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a model to a device, laid out as it learns fastest there.

    On a CPU without bfloat16 the gradient of a convolution's weights takes three times as long in channels_last.
    """
    plain = device.type == "cpu" and not cpu_has_bfloat16()
    layout = torch.contiguous_format if plain else torch.channels_last
    return model.to(device, memory_format=layout)  # type: ignore[call-overload]


def _autocast(device: torch.device) -> AbstractContextManager[Any]:
    if device.type == "cuda" or cpu_has_bfloat16():
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def _place() -> Place:
    """Return this process's place; torchrun tells it in the environment."""
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if count > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    return Place(device, rank, count)


def _one_thread(_: int) -> None:
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
