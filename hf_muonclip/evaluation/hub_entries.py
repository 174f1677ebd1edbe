"""Evaluation results in the form that the Hub reads: `.eval_results/*.yaml` beside the model card.

https://huggingface.co/docs/hub/eval-results: an entry names a dataset that is registered as a benchmark and one of its
tasks, and the Hub refuses a file that names anything else. Results on other data stand in the card and its model-index.
"""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

from .results import EvaluationResult, StrPath


def to_entry(
    result: EvaluationResult, *, date: str | None = None, source_url: str | None = None
) -> EvalResultEntry | None:
    """Return a result as an entry for the Hub; None if its data is not a task of a benchmark there.

    The value is written as measured: an Avg@k of scores in [0, 1] is a fraction. The notes carry the rest.

    Args:
        result: a `Perplexity` or an `AvgAtK`.
        date: date of the measurement, ISO 8601; without it the Hub takes the commit's.
        source_url: page with logs or code of the evaluation.
    """
    data = result.data
    if data.hub_id is None or data.task_id is None:
        return None
    error = "" if result.standard_error is None else f", standard error {result.standard_error:.3g}"
    settings = "; ".join(f"{name}: {value}" for name, value in result.settings.items())
    return EvalResultEntry(
        dataset_id=data.hub_id,
        task_id=data.task_id,
        dataset_revision=data.revision,
        value=float(f"{result.value:.6g}"),
        date=date,
        source_url=source_url,
        notes=f"{result.name}{error}; {settings}",
    )


def write_eval_results(
    results: Sequence[EvaluationResult],
    folder: StrPath,
    *,
    date: str | None = None,
    source_url: str | None = None,
) -> list[Path]:
    """Write `.eval_results/<dataset>.yaml` into a checkpoint's folder, one file per benchmark.

    Args:
        results: the results; those whose data is not a benchmark of the Hub are skipped.
        folder: the checkpoint's folder, which must exist.
        date: when the results were measured, ISO 8601.
        source_url: page with logs or code of the evaluation.

    Returns:
        The files; none where no result has an entry.

    Raises:
        FileExistsError: a file is there already and says something else.
        FileNotFoundError: the folder is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder} to write evaluation results into; save the model first")
    by_dataset: dict[str, list[EvalResultEntry]] = {}
    for result in results:
        if (entry := to_entry(result, date=date, source_url=source_url)) is not None:
            by_dataset.setdefault(entry.dataset_id, []).append(entry)
    texts = {
        folder / ".eval_results" / f"{dataset.replace('/', '--')}.yaml": yaml_dump(eval_result_entries_to_yaml(entries))
        for dataset, entries in by_dataset.items()
    }
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise FileExistsError(f"{path} holds other results and is not overwritten; remove it, or write elsewhere")
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)
