"""A grade that could not be measured, and why: a failure of the infrastructure is not a grade, and not a reward."""

from typing import Any

# Each cause, and what happened to the grader.
CAUSES = {
    "timeout": "it did not finish before its deadline",
    "memory": "it needed more memory than allowed",
    "crash": "its process died",
    "error": "it raised an exception",
    "unreachable": "the server or model that it asks did not answer",
    "gold": "the reference answer cannot be read or checked",
    "missing": "it gave None or NaN without a cause",
    "infinite": "it gave an infinite reward",
}


class NotMeasured(float):
    """A NaN that says why there is no reward.

    As a NaN, TRL leaves it out like any missing reward; `KimiRLTrainer` also leaves its sample out of the group's mean
    and of the loss, and counts it per cause.

    Args:
        cause: one of `CAUSES`.
        detail: what was seen, for the log.

    Raises:
        ValueError: the cause is not in `CAUSES`.
    """

    cause: str
    detail: str

    def __new__(cls, cause: str, detail: str = "") -> "NotMeasured":
        """Return a NaN with its cause and detail."""
        if cause not in CAUSES:
            raise ValueError(f"cause must be one of {[*CAUSES]}; got {cause!r}.")
        self = super().__new__(cls, "nan")
        self.cause, self.detail = cause, detail
        return self

    def __repr__(self) -> str:
        return f"NotMeasured({self.cause!r}, {self.detail!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return NotMeasured, (self.cause, self.detail)
