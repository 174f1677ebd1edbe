# ruff: noqa: E501
"""Claims that are turned round are found, however they are turned; the same claim in other words is let through."""

import pytest

from hf_muonclip.synth.facts.alignment import align
from hf_muonclip.synth.facts.evidence import Evidence
from hf_muonclip.synth.facts.order import compare_order, is_narrative
from hf_muonclip.synth.facts.polarity import compare_polarity
from hf_muonclip.synth.facts.quantifiers import compare_quantifiers
from hf_muonclip.synth.facts.reading import read_facts
from hf_muonclip.synth.facts.sides import compare_sides
from hf_muonclip.synth.facts.text import read


def clear(signs: list[Evidence]) -> list[Evidence]:
    """Return what is as clear as one change in a copy."""
    return [sign for sign in signs if sign.strength >= 0.5]


def turned(source: str, rewritten: str) -> list[Evidence]:
    ours, theirs = read_facts(source), read_facts(rewritten)
    alignment = align(ours, theirs)
    return clear(compare_polarity(ours, theirs, alignment) + compare_sides(ours, theirs, alignment))


def quantified(source: str, rewritten: str) -> list[Evidence]:
    ours, theirs = read_facts(source), read_facts(rewritten)
    return clear(compare_quantifiers(ours, theirs, align(ours, theirs)))


TURNED = [
    ("The ship arrived in the harbour.", "The ship did not arrive in the harbour."),
    ("The ship arrived in the harbour.", "The ship never arrived in the harbour."),
    ("The ship arrived in the harbour.", "The ship failed to arrive in the harbour."),
    ("The ship did not arrive in the harbour.", "The ship arrived in the harbour."),
    ("The ship didn't arrive in the harbour.", "The ship arrived in the harbour."),
    ("They crossed the river without boats.", "They crossed the river with boats."),
    ("The mine is no longer in use today.", "The mine is in use today."),
    ("The mine is in use today.", "The mine is no longer in use today."),
    ("The king was able to pay the army.", "The king was unable to pay the army."),
    ("The king was happy with the army.", "The king was unhappy with the army."),
    ("The king was not happy with the army.", "The king was happy with the army."),
    ("It is possible to cross the pass in winter.", "It is impossible to cross the pass in winter."),
    ("Prices increased sharply after the flood.", "Prices decreased sharply after the flood."),
    ("Prices rose sharply after the flood.", "Prices fell sharply after the flood."),
    ("The council accepted the plan of the mayor.", "The council rejected the plan of the mayor."),
    ("The law allows hunting in the park.", "The law forbids hunting in the park."),
    ("The law forbids hunting in the park.", "The law permits hunting in the park."),
    ("Trade with the north expanded under his rule.", "Trade with the north contracted under his rule."),
    ("The new engine is faster and cheaper to run.", "The new engine is slower and more expensive to run."),
    ("The lake lies north of the city.", "The lake lies south of the city."),
    ("No evidence of fraud was found by the court.", "Evidence of fraud was found by the court."),
    ("Nobody in the village knew the answer.", "Everybody in the village knew the answer."),
    ("The test was a success and the team won.", "The test was a failure and the team lost."),
    ("He supported the reform of the church.", "He opposed the reform of the church."),
    ("The drug reduces pain in most adults.", "The drug increases pain in most adults."),
    ("The engine cannot run on diesel fuel.", "The engine can run on diesel fuel."),
    ("He refused to sign the peace treaty.", "He signed the peace treaty."),
    ("The upper floor has larger windows.", "The lower floor has larger windows."),
]
KEPT = [
    ("The ship did not arrive in the harbour.", "The ship never arrived in the harbour."),
    ("The ship did not arrive in the harbour.", "The ship failed to arrive in the harbour."),
    ("The ship didn't arrive in the harbour.", "The ship did not reach the harbour."),
    ("The king was unable to pay the army.", "The king could not pay the army."),
    ("The king was not happy with the army.", "The king was unhappy with the army."),
    ("It is impossible to cross the pass in winter.", "The pass cannot be crossed in winter."),
    ("No evidence of fraud was found by the court.", "The court did not find evidence of fraud."),
    ("Prices increased sharply after the flood.", "After the flood, prices rose sharply."),
    ("Prices did not increase after the flood.", "After the flood there was no increase in prices."),
    ("They crossed the river without boats.", "They crossed the river, although they had no boats."),
    ("The mine is no longer in use today.", "Today the mine is not used any more."),
    ("The law forbids hunting in the park.", "Under the law, hunting is not allowed in the park."),
    ("The law does not allow hunting in the park.", "Hunting in the park is banned by law."),
    ("Nobody in the village knew the answer.", "The answer was unknown in the village."),
    ("He refused to sign the peace treaty.", "He would not sign the peace treaty."),
    ("The company did not survive the crisis.", "The company perished in the crisis."),
    ("Not only the king but also the queen came.", "The king came, and so did the queen."),
    ("Rome won the battle against Carthage.", "Carthage lost the battle against Rome."),
    ("Gold is heavier than silver.", "Silver is lighter than gold."),
    ("The bridge was not closed until 1961.", "The bridge was closed only in 1961."),
    ("Prices rose in summer and fell in winter.", "In winter prices fell; in summer they rose."),
    ("It was an unusual and brilliant plan.", "The plan was brilliant and strange."),
]


@pytest.mark.parametrize(("source", "rewritten"), TURNED)
def test_turned_claims_are_found(source: str, rewritten: str) -> None:
    assert turned(source, rewritten)


@pytest.mark.parametrize(("source", "rewritten"), KEPT)
def test_the_same_claim_in_other_words_is_kept(source: str, rewritten: str) -> None:
    assert turned(source, rewritten) == []


CLASHING = [
    ("All of the ships returned to the port.", "Some of the ships returned to the port."),
    ("Every house in the village was burnt.", "Most houses in the village were burnt."),
    ("Most of the soldiers survived the winter.", "Few of the soldiers survived the winter."),
    ("Some of the pages are missing.", "All of the pages are missing."),
    ("The valley is always covered in snow.", "The valley is rarely covered in snow."),
    ("The bird often sings at night.", "The bird never sings at night."),
    ("The filter must be replaced each month.", "The filter may be replaced each month."),
    ("The filter may be replaced each month.", "The filter has to be replaced each month."),
    ("The comet will return in a few years.", "The comet might return in a few years."),
    ("The minority of the voters agreed to it.", "The majority of the voters agreed to it."),
]
AGREEING = [
    ("All of the ships returned to the port.", "Every ship returned to the port."),
    ("Every house in the village was burnt.", "All the houses of the village were burnt."),
    ("The valley is always covered in snow.", "Snow covers the valley all the time."),
    ("The bird rarely sings at night.", "The bird seldom sings at night."),
    ("The filter must be replaced each month.", "It is required to replace the filter each month."),
    ("The belt may be replaced too.", "The belt can be replaced too."),
    (
        "Usually the gate is open, but it is always locked at night.",
        "The gate is always locked at night and usually open.",
    ),
    ("Some people left in May, others later.", "In May some of the people left."),
    ("He died in May and was the most famous writer.", "He was the most famous writer and died in May."),
]


@pytest.mark.parametrize(("source", "rewritten"), CLASHING)
def test_clashing_quantifiers_are_found(source: str, rewritten: str) -> None:
    assert quantified(source, rewritten) or turned(source, rewritten)


@pytest.mark.parametrize(("source", "rewritten"), AGREEING)
def test_quantifiers_of_one_meaning_are_kept(source: str, rewritten: str) -> None:
    assert quantified(source, rewritten) == []


def reordered(source: str, rewritten: str) -> list[Evidence]:
    ours, theirs = read_facts(source), read_facts(rewritten)
    return clear(compare_order(ours, theirs, align(ours, theirs)))


TURNED_ORDER = [
    ("The king left the city before the siege began.", "The king left the city after the siege began."),
    ("After the siege the king left the city.", "Before the siege, the king left the city."),
    ("The king left the city before the siege began.", "The siege began before the king left the city."),
    (
        "First the water is boiled. Then the salt is added. Finally the pasta is cooked.",
        "First the salt is added. Then the water is boiled. Finally the pasta is cooked.",
    ),
    ("She opened the door, then lit the lamp.", "She lit the lamp, then opened the door."),
    ("The factory was closed until the war ended.", "The war ended until the factory was closed."),
]
KEPT_ORDER = [
    ("The king left the city before the siege began.", "Before the siege began, the king left the city."),
    ("The king left the city before the siege began.", "The siege began after the king had left the city."),
    ("After the siege the king left the city.", "The king left the city once the siege was over."),
    ("First the water is boiled. Then the salt is added.", "To begin, the water is boiled. The salt is added next."),
    ("She opened the door, then lit the lamp.", "Having opened the door, she lit the lamp."),
    (
        "The lake is deep and cold. The forest is home to bears.",
        "The forest is home to bears. The lake is deep and cold.",
    ),
]


@pytest.mark.parametrize(("source", "rewritten"), TURNED_ORDER)
def test_events_the_other_way_round_are_found(source: str, rewritten: str) -> None:
    assert reordered(source, rewritten)


@pytest.mark.parametrize(("source", "rewritten"), KEPT_ORDER)
def test_the_same_order_in_other_words_is_kept(source: str, rewritten: str) -> None:
    assert reordered(source, rewritten) == []


def test_a_story_is_told_from_an_article() -> None:
    story = "She ran down to the shore and saw him. He was mending his nets when she called, and then he looked up at her and laughed."
    article = "The lake has an area of 12 square kilometres and lies in the north of the region, which is known for its mines."
    assert is_narrative(read(story))
    assert not is_narrative(read(article))
