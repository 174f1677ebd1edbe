"""What is added to a run on top of training is left out where it fails, and the log says so once."""

import logging
import re

import pytest
from error_messages import naming

from hf_muonclip.trainer.additions import Additions


def test_an_addition_that_fails_is_left_out_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    additions = Additions()
    done = []
    for number in range(3):
        with additions.adding("The card"):
            done.append(number)
            raise KeyError("config")
    with additions.adding("The log"):
        raise OSError("the disk is full")
    assert done == [0, 1, 2]
    card, log = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert re.search(naming("The card", "KeyError", "'config'"), card)
    assert re.search(naming("The log", "OSError", "the disk is full"), log)


def test_stopping_a_run_is_no_failure() -> None:
    def interrupted() -> None:
        with Additions().adding("The card"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
