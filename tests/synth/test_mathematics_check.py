"""Notes with and without errors, against their sources."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from math_solutions import DEVELOPMENT, HELD_OUT, Solution

from hf_muonclip.common.graders.grader_pool import GraderPool
from hf_muonclip.synth import check_math
from hf_muonclip.synth.mathematics.check import MathCheck, Pair, check_pairs

CLIPS = "Natalia sold 48/2 = <<48/2=24>>24 clips in May. Altogether she sold 48+24 = <<48+24=72>>72 clips.\n#### 72"
LINEAR = "We have $2x + 3 = 11$, so $2x = 8$ and $x = 4$. The answer is $4$."
# Equal in seconds where it is computed at points, and in no time of ours as polynomials.
ENDLESS = r"(a+b+c+d+x+y)^{40} = \frac{(2a+2b+2c+2d+2x+2y)^{40}}{2^{40}}"


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=2, deadline=20.0) as made:
        check_pairs([Pair(CLIPS, "2 + 2 = 4. The answer is 72.")], made)
        yield made


def found(pool: GraderPool, source: str, note: str, **more: Any) -> MathCheck:
    return check_math(source, note, pool=pool, **more)


def test_a_true_note_passes_with_what_was_decided(pool: GraderPool) -> None:
    note = (
        r"In May she sold $\frac{48}{2} = 24$ clips, together $48 + 24 = 72$. Let $n = 72$. Final answer: $\boxed{72}$"
    )
    check = found(pool, CLIPS, note)
    assert (check.cause, check.reasons, check.remarks) == ("", [], [])
    assert (check.source_answer, check.note_answer) == ("72", "72")
    counts = {"equations": 3, "parsed": 3, "decided": 2, "true": 2, "false": 0, "undecidable": 1, "not_measured": 0}
    assert {name: check.scores[name] for name in counts} == counts
    assert check.scores["answer_equal"] == 1
    assert check.scores["source_equations"] == check.scores["source_true"] == 4


def test_a_false_equation_is_named(pool: GraderPool) -> None:
    check = found(pool, CLIPS, r"She sold $\frac{48}{2} = 26$ clips and $48 + 24 = 72$ in all: $\boxed{72}$")
    assert check.cause == "false_equation"
    assert len(check.reasons) == 1
    assert r"\frac{48}{2} = 26" in check.reasons[0]
    assert (check.scores["true"], check.scores["false"]) == (1, 1)


@pytest.mark.parametrize("note", [r"So $\boxed{71}$", "They are many.", "It is 72, I think."])
def test_another_answer_or_none_is_wrong(pool: GraderPool, note: str) -> None:
    check = found(pool, CLIPS, note)
    assert check.cause == "wrong_answer"
    assert "72" in check.reasons[0]
    assert check.scores["answer_equal"] == 0


def test_a_given_answer_counts_and_not_what_the_source_states(pool: GraderPool) -> None:
    assert found(pool, CLIPS, r"$\boxed{73}$", answer="73").cause == ""
    assert found(pool, CLIPS, r"$\boxed{72}$", answer=73).cause == "wrong_answer"
    assert found(pool, CLIPS, r"$\boxed{2\sqrt{2}}$", answer=r"\sqrt{8}").cause == ""  # bare, it is not cut to 2


def test_a_source_without_an_answer_needs_none(pool: GraderPool) -> None:
    check = found(pool, "A prime has two divisors. 2 + 2 = 4.", "Primes have two divisors, and 2 + 2 = 4.")
    assert check.cause == ""
    assert "answer_equal" not in check.scores


def test_answers_that_cannot_be_compared_are_neither_right_nor_wrong(pool: GraderPool) -> None:
    check = found(pool, r"So the answer is $\begin{cases}$.", r"$\boxed{5}$")
    assert check.cause == "answer_not_verified"
    assert "answer_equal" not in check.scores


def test_what_is_false_in_the_source_too_is_told_and_no_fault(pool: GraderPool) -> None:
    check = found(pool, "We get 3*3 = 10, so the answer is 10.", "It follows that $3 \\cdot 3 = 10$. The answer is 10.")
    assert (check.cause, check.scores["false"], check.scores["source_false"]) == ("", 1, 1)
    assert len(check.remarks) == 1
    assert "source" in check.remarks[0]
    corrected = found(pool, "We get 3*3 = 10, so the answer is 10.", "It follows that 3 * 3 = 9. The answer is 10.")
    assert (corrected.cause, len(corrected.remarks)) == ("", 1)
    other = found(pool, "We get 3*3 = 10, so the answer is 10.", "It follows that 3 * 4 = 10. The answer is 10.")
    assert other.cause == "false_equation"


def test_equations_with_variables_are_judged_at_the_solution_of_the_source(pool: GraderPool) -> None:
    right = found(pool, LINEAR, r"From $2x + 3 = 11$ we get $2x = 8$, hence $x = 4$. $\boxed{4}$")
    assert (right.cause, right.scores["true"], right.scores["undecidable"]) == ("", 2, 1)
    wrong = found(pool, LINEAR, r"From $2x + 3 = 11$ we get $2x = 9$, hence $x = 4$. $\boxed{4}$")
    assert wrong.cause == "false_equation"
    assert "2x = 9" in wrong.reasons[0]
    assert "x = 4" in wrong.reasons[0]


@pytest.mark.parametrize(
    "source",
    [
        "The answer is $4$.",  # no equations
        "Let $2x = 9$ in one case, and $x = 4$ in another. The answer is $4$.",  # they do not hold there
        "Either $x = 4$ or $x = 5$, for $(x-4)(x-5) = 0$. The answer is $4$.",  # no single value
    ],
)
def test_without_a_solution_they_are_undecidable(pool: GraderPool, source: str) -> None:
    check = found(pool, source, r"We get $2x = 9$ and $x = 4$. $\boxed{4}$")
    assert (check.cause, check.scores["undecidable"]) == ("", 2)


def test_a_rounded_number_may_be_used_again(pool: GraderPool) -> None:
    source = "10/3 = 3.33 rounded. The answer is 10."
    assert found(pool, source, "Each has 10/3 = 3.33, and 3 * 3.33 = 10. The answer is 10.").cause == ""
    assert found(pool, source, "Each has 10/3 = 3.33, and 3 * 3.33 = 11. The answer is 10.").cause == "false_equation"


def test_what_never_ends_costs_itself_alone_and_is_not_counted() -> None:
    note = rf"We have ${ENDLESS}$ and $2 + 2 = 4$ and $10^{{10^{{10}}}} = 3$ and $2 + 2 = 5$. The answer is 72."
    with GraderPool(workers=2, deadline=3.0) as pool:
        check_pairs([Pair(CLIPS, "The answer is 72.")], pool)
        began = time.monotonic()
        check = found(pool, CLIPS, note)
        assert time.monotonic() - began < 60
    scores = {name: check.scores[name] for name in ("equations", "parsed", "true", "false", "not_measured")}
    assert scores == {"equations": 4, "parsed": 2, "true": 1, "false": 1, "not_measured": 1}
    assert len(check.remarks) == 1
    assert check.cause == "false_equation"
    assert len(check.reasons) == 1


def test_an_answer_that_is_not_compared_in_time_is_not_verified() -> None:
    with GraderPool(workers=1, deadline=2.0) as pool:
        check = found(pool, "The answer is $(a+b+c+d+x+y)^{40}$.", r"$\boxed{(a+b+c+d+x+2y)^{40}}$")
    assert check.cause == "answer_not_verified"
    assert "answer_equal" not in check.scores


def test_pairs_are_checked_together_as_they_are_alone(pool: GraderPool) -> None:
    pairs = [Pair(one.source, one.note) for one in DEVELOPMENT[:6]]
    pairs += [Pair(one.source, note) for one in DEVELOPMENT[:6] for _, note in one.corrupted]
    assert check_pairs(pairs, pool) == [check_pairs([pair], pool)[0] for pair in pairs]


@pytest.mark.parametrize("solutions", [DEVELOPMENT, HELD_OUT], ids=["development", "held_out"])
def test_labelled_notes(pool: GraderPool, solutions: list[Solution]) -> None:
    right = check_pairs([Pair(one.source, one.note) for one in solutions], pool)
    assert [check.reasons for check in right if check.cause] == []
    assert not any(check.scores["not_measured"] for check in right)
    assert sum(check.scores["parsed"] for check in right) >= 0.95 * sum(check.scores["equations"] for check in right)
    wrong = [(kind, Pair(one.source, note)) for one in solutions for kind, note in one.corrupted]
    checks = check_pairs([pair for _, pair in wrong], pool)
    caught = [(kind, bool(check.cause)) for (kind, _), check in zip(wrong, checks, strict=True)]
    for kind, least in (("digit", 0.95), ("sign", 0.95), ("answer", 1.0), ("variables", 0.5)):
        own = [said for name, said in caught if name == kind]
        assert sum(own) >= least * len(own) > 0, kind
