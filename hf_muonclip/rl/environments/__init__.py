"""Environments of other libraries as Specs: OpenEnv, verifiers and NeMo-Gym.

    spec = openenv_spec("http://localhost:8000", tasks=1000, prompt="Guess the number.")

None of these libraries is needed to import this folder. Names are loaded on first use.
"""

from typing import TYPE_CHECKING, Any

from ...common.extras import imported
from .. import LIBRARIES

if TYPE_CHECKING:
    from .nemo_gym import nemo_gym_spec
    from .openenv import openenv_spec
    from .verifiers import verifiers_spec

__all__ = ["nemo_gym_spec", "openenv_spec", "verifiers_spec"]

_HOMES = {"nemo_gym_spec": ".nemo_gym", "openenv_spec": ".openenv", "verifiers_spec": ".verifiers"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = imported(name, _HOMES[name], __name__, extra="rl", libraries=LIBRARIES)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
