"""Record the singular values of chosen weights while a run trains: what Muon keeps even and AdamW does not.

    Trainer(..., callbacks=[MuonClipCallback(), SpectrumCallback("*.q_proj.weight", every=50)])

`hf-muonclip report` draws them. They cost an SVD without vectors per matrix, on the weight's device: choose few
weights, and rare records.
"""

import contextlib
import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from ..common.loggers import get_logger
from ..optim.matrix_view import PLAIN, MatrixView, to_matrices
from .log import folder_of_run

logger = get_logger(__name__)

SPECTRA_NAME = "spectra.jsonl"


class SpectrumCallback(TrainerCallback):
    """Write singular values of weights to `spectra.jsonl` in the output folder, before, during and after training.

    A weight that holds several matrices (a fused QKV, stacked experts) is cut as MuonClip cuts it; beside another
    optimizer a weight of three dimensions counts as a stack, any other as one matrix. Collective under FSDP2, where
    every rank puts the weight together; the first rank computes and writes. Where it cannot, it warns once and training
    goes on without a record.

    Args:
        patterns: patterns of parameter names, * and ? as in file names; one pattern or several.
        every: steps between two records.

    Raises:
        ValueError: `every` is not positive; when training begins, a pattern that matches no matrix, or parameters that
            DeepSpeed holds in pieces.
    """

    def __init__(self, *patterns: str, every: int = 100) -> None:
        if not patterns or every < 1:
            raise ValueError(
                f"SpectrumCallback needs patterns of parameter names and a positive `every`; got {patterns} and "
                f'every={every}. For example: SpectrumCallback("*.q_proj.weight", every=100).'
            )
        self.patterns = patterns
        self.every = every
        self._views: dict[str, MatrixView] = {}
        self._recorded = -1
        self._optimizer: Any = None
        self._trial = -1
        self._path = Path()
        self._writes = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Find the weights and record them as they are."""
        model = kwargs["model"]
        optimizer = getattr(kwargs["optimizer"], "optimizer", kwargs["optimizer"])  # Accelerate's wrapper
        planned = {entry.name: entry.view for entry in getattr(optimizer, "plan", ())}
        self._views = {name: planned.get(name, PLAIN) for name in self._matching(model)}
        # A start again with smaller batches (auto_find_batch_size) is no new trial: it keeps its optimizer.
        self._trial += state.is_hyper_param_search and optimizer is not self._optimizer
        self._optimizer = optimizer
        self._path = folder_of_run(args.output_dir or ".", state, self._trial) / SPECTRA_NAME
        self._recorded = -1
        self._writes = state.is_world_process_zero
        if self._writes:
            with self._or_go_on_without():
                self._keep_records_before(state.global_step)
        self._record(state, model)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Record after every `every` steps."""
        if state.global_step % self.every == 0:
            self._record(state, kwargs["model"])

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record the final weights."""
        if self._recorded != state.global_step:
            self._record(state, kwargs["model"])

    def _matching(self, model: nn.Module) -> list[str]:
        parameters = dict(model.named_parameters())
        found: dict[str, None] = {}
        for pattern in self.patterns:
            names = [name for name, weight in parameters.items() if weight.ndim >= 2 and fnmatchcase(name, pattern)]
            if not names:
                known = ", ".join([name for name, weight in parameters.items() if weight.ndim >= 2][:8])
                raise ValueError(
                    f"each pattern of SpectrumCallback must match a parameter of two dimensions or more; {pattern!r} "
                    f"matches none. The model has {known}, ..."
                )
            found |= dict.fromkeys(names)
        if pieces := [name for name in found if hasattr(parameters[name], "ds_id")]:
            raise ValueError(
                f"singular values need whole weights; DeepSpeed's ZeRO holds {pieces[0]} in pieces. Train with FSDP2 "
                "or DDP, or leave SpectrumCallback out."
            )
        return list(found)

    @torch.no_grad()
    def _record(self, state: TrainerState, model: nn.Module) -> None:
        self._recorded = state.global_step
        spectra: dict[str, list[list[float]]] = {}
        for name, view in self._views.items():
            weight: Tensor = model.get_parameter(name).detach()
            if isinstance(weight, DTensor):
                weight = weight.full_tensor()
            if self._writes:
                with self._or_go_on_without():
                    spectra[name] = [
                        _singular_values(matrix) for stack in to_matrices(weight.float(), view) for matrix in stack
                    ]
        if self._writes:
            with self._or_go_on_without(), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, "spectra": spectra}) + "\n")

    def _keep_records_before(self, step: int) -> None:
        kept = [row for row in read_spectra(self._path.parent) if row["step"] < step] if step > 0 else []
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(f"{SPECTRA_NAME}.tmp")
        new.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        new.replace(self._path)

    @contextlib.contextmanager
    def _or_go_on_without(self) -> Iterator[None]:
        """Let a failure of the writing rank end its records and not the run: the other ranks would wait for it."""
        try:
            yield
        except (OSError, ValueError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
            self._writes = False
            logger.warning(
                "The singular values, %s, cannot be recorded (%s). Training goes on without them; fix the cause and "
                "resume to record them again.",
                self._path,
                error,
            )


def _singular_values(matrix: Tensor) -> list[float]:
    """Return the singular values, in descending order; an empty list for a matrix that is not finite."""
    if not matrix.isfinite().all():
        return []
    return [float(f"{value:.5g}") for value in torch.linalg.svdvals(matrix).tolist()]


def read_spectra(run: str | Path) -> list[dict[str, Any]]:
    """Read the singular values that a run recorded.

    Returns:
        One row per record: `step` and `spectra` {parameter: a list per matrix of its singular values, in descending
        order; empty for one that was not finite}; no row if nothing was recorded. A last line without its end does not
        count.

    Raises:
        ValueError: a line is damaged.
    """
    path = Path(run) / SPECTRA_NAME
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break
        try:
            row = json.loads(line)
            rows.append({"step": row["step"], "spectra": row["spectra"]})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"every line of {path} is one record of spectra; line {number} is damaged.") from error
    return rows
