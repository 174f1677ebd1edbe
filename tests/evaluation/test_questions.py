"""Questions that a rule makes and judges, and answers judged by a metric of the `evaluate` package."""

from pathlib import Path

import pytest
from error_messages import naming

from hf_muonclip.evaluation import Question, metric_scorer, reasoning_gym_questions
from hf_muonclip.evaluation.questions import final_answer

METRIC = """
import datasets
import evaluate

class SharedWords(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="",
            features=datasets.Features({key: datasets.Value("string") for key in ("predictions", "references")}),
        )

    def _compute(self, predictions, references, scale=1.0):
        pairs = [(set(p.split()), set(r.split())) for p, r in zip(predictions, references)]
        return {"shared_words": scale * sum(len(p & r) / len(r) for p, r in pairs) / len(pairs)}
"""


def test_reasoning_gym_makes_and_judges_questions() -> None:
    found = reasoning_gym_questions("chain_sum", size=5, seed=3, min_terms=2, max_terms=2, instruction="Be brief.")
    assert len(found.questions) == 5
    assert len({question.prompt for question in found.questions}) > 1
    assert found.data.name == "reasoning-gym chain_sum (size=5, seed=3, min_terms=2, max_terms=2)"
    assert found.data.hub_id is None
    for question in found.questions:
        right = question.reference["answer"]
        assert question.prompt.endswith("=\nBe brief.")
        assert found.score(question, right) == 1.0
        assert found.score(question, f"It is 7 + {right}. So the answer is {right}.") == 1.0
        assert found.score(question, f"<answer>{right}</answer> or 12345") == 1.0
        assert found.score(question, f"{right}1") == 0.0
        assert found.score(question, "") == 0.0
    again = reasoning_gym_questions("chain_sum", size=5, seed=3, min_terms=2, max_terms=2, instruction="Be brief.")
    assert again.questions == found.questions
    assert reasoning_gym_questions("chain_sum", size=5, seed=4).questions != found.questions


def test_partial_marks_are_not_counted() -> None:
    found = reasoning_gym_questions("isomorphic_strings", size=1, seed=0)
    (question,) = found.questions
    right = question.reference["answer"]
    assert right in ("True", "False")
    assert found.score(question, right) == 1.0
    assert found.score(question, f"{right}, I think") == 0.0  # the package gives a part of 1


def test_settings_that_a_task_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match=naming("chain_sum", "no_such_setting")):
        reasoning_gym_questions("chain_sum", size=1, no_such_setting=3)
    with pytest.raises(ValueError, match="no_such_task"):
        reasoning_gym_questions("no_such_task", size=1)


@pytest.mark.parametrize(
    ("text", "expected", "judged"),
    [
        (" -4 ", "7", "-4"),
        ("5 - 3 = 2.\nThe answer is **2**.", "7", "2"),
        ("x=-7", "7", "-7"),
        ("it is 5-3", "7", "3"),
        ("about $1,234.50.", "7", "1,234.50"),
        ("none", "7", "none"),
        ("level 3", "word", "level 3"),
        ("<answer>1</answer> no, <answer> 2\n</answer> 3", "7", "2"),
    ],
)
def test_the_part_that_is_judged(text: str, expected: str, judged: str) -> None:
    assert final_answer(text, expected) == judged


def test_a_metric_of_evaluate_judges_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "shared_words"
    folder.mkdir()
    (folder / "shared_words.py").write_text(METRIC)
    score = metric_scorer(str(folder), "shared_words")
    question = Question("Which?", "red green")
    assert [score(question, answer) for answer in ("green", "red green", "blue", "green")] == [0.5, 1.0, 0.0, 0.5]
    assert metric_scorer(str(folder), "shared_words", scale=3.0)(question, "green") == 1.5
    with pytest.raises(ValueError, match=naming("shared_words", "'accuracy'")):
        metric_scorer(str(folder), "accuracy")(question, "green")
