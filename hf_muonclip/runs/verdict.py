"""Whether the clip fell silent, in one sentence."""

import math

from .charts import number
from .run import Run


def verdict(run: Run) -> str:
    """Return in a sentence whether the clip fell silent, and when.

    Args:
        run: a run with at least one log.
    """
    end, threshold, last_clip_step = run.steps[-1], run.threshold, run.last_clip_step
    if math.isinf(threshold):
        return "This run only measured: tau is infinite, so no head can be clipped."
    place = run.last_clip
    if last_clip_step is not None and last_clip_step > end:
        return f"Still clipping: a head was clipped at step {last_clip_step:,}, after the last log."
    if place is None:
        peak = run.peak
        if peak > threshold:
            return (
                f"No head was clipped, though max logits reached {number(peak)}: the weights of these heads cannot be "
                "scaled, and hf-muonclip inspect says why."
            )
        reached = f"; the highest max logit was {number(peak)}" if not math.isnan(peak) else ""
        return f"No head was clipped: none exceeded tau = {number(threshold)} up to step {end:,}{reached}."
    if place == len(run.steps) - 1:
        heads = int((run.clips[-1] > 0).sum())
        was = f"{heads} head was" if heads == 1 else f"{heads} heads were"
        return f"Still clipping: {was} clipped since the log before step {end:,}."
    logs = len(run.steps) - 1 - place
    silent = f"{logs:,} log{'' if logs == 1 else 's'} up to step {end:,} saw none"
    if last_clip_step is not None:
        return f"The clip fell silent: no head was clipped after step {last_clip_step:,}, and {silent}."
    return f"The clip fell silent: no head was clipped after step {run.steps[place]:,}, and {silent}."
