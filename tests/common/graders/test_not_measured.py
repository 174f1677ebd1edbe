"""A NaN that says why, and goes on saying it when it is copied."""

import copy
import math
import pickle

import pytest
from error_messages import naming

from hf_muonclip.common.graders.not_measured import CAUSES, NotMeasured


@pytest.mark.parametrize("cause", CAUSES)
def test_it_is_a_nan_with_a_cause(cause: str) -> None:
    reward = NotMeasured(cause, "seen")
    assert isinstance(reward, float)
    assert math.isnan(reward)
    assert math.isnan(sum([1.0, reward]))
    for same in (reward, pickle.loads(pickle.dumps(reward)), copy.deepcopy(reward)):
        assert (same.cause, same.detail) == (cause, "seen")
    assert cause in repr(reward)


def test_an_unknown_cause_is_refused() -> None:
    with pytest.raises(ValueError, match=naming("cause", "'tired'", "timeout")):
        NotMeasured("tired")
