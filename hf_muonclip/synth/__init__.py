"""Kimi K2's training data: documents in other words whose facts are checked.

    generator = CachedGenerator(TransformersGenerator("Qwen/Qwen3-4B"), "answers.sqlite")
    rephraser = Rephraser(generator, rephrasings=4)
    dataset.map(rephraser, batched=True, remove_columns=dataset.column_names, features=rephraser.features)

Needs `pip install hf_muonclip[synth]`; the core never imports this folder. Names are loaded on first use.
"""

from typing import TYPE_CHECKING, Any

from ..common.extras import imported

if TYPE_CHECKING:
    from .fidelity import Fidelity, Thresholds, check_fidelity
    from .generator import Generated, GenerationError
    from .math_notes import MathNote, MathNotes
    from .mathematics.check import MathCheck, check_math
    from .rephraser import Rephrased, Rephraser
    from .report.page import write_report
    from .response_cache import CachedGenerator
    from .run import run_rephrasing
    from .server_generator import ServerGenerator
    from .styles import Style
    from .transformers_generator import TransformersGenerator

__all__ = [
    "CachedGenerator",
    "Fidelity",
    "Generated",
    "GenerationError",
    "MathCheck",
    "MathNote",
    "MathNotes",
    "Rephrased",
    "Rephraser",
    "ServerGenerator",
    "Style",
    "Thresholds",
    "TransformersGenerator",
    "check_fidelity",
    "check_math",
    "rephrase",
    "run_rephrasing",
    "write_report",
]

_HOMES = {
    "CachedGenerator": ".response_cache",
    "Fidelity": ".fidelity",
    "Generated": ".generator",
    "GenerationError": ".generator",
    "MathCheck": ".mathematics.check",
    "MathNote": ".math_notes",
    "MathNotes": ".math_notes",
    "Rephrased": ".rephraser",
    "Rephraser": ".rephraser",
    "ServerGenerator": ".server_generator",
    "Style": ".styles",
    "Thresholds": ".fidelity",
    "TransformersGenerator": ".transformers_generator",
    "check_fidelity": ".fidelity",
    "check_math": ".mathematics.check",
    "rephrase": ".rephraser",
    "run_rephrasing": ".run",
    "write_report": ".report.page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = imported(
        name,
        _HOMES[name],
        __name__,
        extra="synth",
        libraries=("datasets", "httpx", "math_verify", "numpy", "pyarrow", "sympy"),
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
