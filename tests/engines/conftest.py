"""The checkpoints that every engine is asked about, made once."""

from pathlib import Path

import pytest
from checkpoints import make_checkpoints


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_checkpoints(tmp_path_factory.mktemp("checkpoints"))
