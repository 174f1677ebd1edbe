"""Whether the clip fell silent, in one sentence."""

import math

from .charts import number
from .history import RunHistory


def verdict(history: RunHistory, last_clip_step: int | None) -> str:
    """Return in a sentence whether the clip fell silent, and when.

    Args:
        history: a history with at least one log.
        last_clip_step: last step in which a head was clipped, where it is known exactly.
    """
    end, threshold = history.steps[-1], history.threshold
    if math.isinf(threshold):
        return "This run only measured: tau is infinite, so no head can be clipped."
    place = history.last_clip
    if last_clip_step is not None and last_clip_step > end:
        return f"Still clipping: a head was clipped at step {last_clip_step:,}, after the last log."
    if place is None:
        peak = history.peak
        if peak > threshold:
            return (
                f"No head was clipped, though max logits reached {number(peak)}: the weights of these heads cannot be "
                "scaled, and hf-muonclip inspect says why."
            )
        reached = f"; the highest max logit was {number(peak)}" if not math.isnan(peak) else ""
        return f"No head was clipped: none exceeded tau = {number(threshold)} up to step {end:,}{reached}."
    if place == len(history.steps) - 1:
        heads = int((history.clips[-1] > 0).sum())
        was = f"{heads} head was" if heads == 1 else f"{heads} heads were"
        return f"Still clipping: {was} clipped since the log before step {end:,}."
    logs = len(history.steps) - 1 - place
    silent = f"{logs:,} log{'' if logs == 1 else 's'} up to step {end:,} saw none"
    if last_clip_step is not None:
        return f"The clip fell silent: no head was clipped after step {last_clip_step:,}, and {silent}."
    return f"The clip fell silent: no head was clipped after step {history.steps[place]:,}, and {silent}."
