"""Names are recognised in other forms, new ones are found, and swapped ones too."""

import pytest

from hf_muonclip.synth.facts.bindings import swapped_names, swapped_numbers
from hf_muonclip.synth.facts.name_match import compare_names
from hf_muonclip.synth.facts.reading import read_facts

SAME = [
    ("It is part of Germany's army.", "It is part of the German army."),
    ("He fought in France.", "He fought the French."),
    ("In 1900 Marie Curie left.", "In 1900 Curie left."),
    ("He met Dr. Anna Smith.", "He met Anna Smith."),
    ("It joined the United Nations (UN).", "It joined the UN."),
    ("It joined the UN.", "It joined the United Nations."),
    ("It joined the World Health Organization.", "It joined the WHO."),
    ("He moved to the United States.", "He moved to the US."),
    ("He moved to the U.S. in May.", "He moved to America in May."),
    ("He moved to São Paulo.", "He moved to Sao Paulo."),
    ("They crossed the Nile.", "They crossed the river Nile."),
    ("They crossed the Nile.", "They crossed the Nile River."),
    ("It was made by the company.", "The Company made it."),
    ("After World War II he left.", "After the Second World War he left."),
    ("It fires at a B-52.", "It fires at a B52."),
    ("He is a Texan.", "He is from Texas."),
    ("A Darwinian idea.", "An idea of Darwin."),
    ("Napoleon was ill. He died.", "Napoleon, who was ill, died."),
    ("Scientists found it.", "Researchers found it."),
    ("Workers built it.", "It was built by workers."),
    ("In the Netherlands it rains.", "It rains in Holland, a Dutch land."),
    ("The NASA probe landed.", "The probe of NASA landed."),
    ("He knows King George.", "He knows George."),
]
NEW = [
    ("He lives in Paris.", "He lives in London.", "London"),
    ("Napoleon was ill.", "Wellington was ill.", "Wellington"),
    ("He met John Smith.", "He met John Brown.", "John Brown"),
    ("He fought in France.", "He fought in Spain.", "Spain"),
    ("Germany lost the war.", "Austria lost the war.", "Austria"),
    ("It runs on a PX-40.", "It runs on a PX-50.", "PX-50"),
    ("The company grew.", "The company, led by Tim Cook, grew.", "Tim Cook"),
    ("It was paid for by Norvex.", "It was paid for by Pfizer.", "Pfizer"),
    ("He came on Monday.", "He came on Friday.", "Friday"),
    ("He came in a boat of the UN.", "He came in a boat of NATO.", "NATO"),
]


@pytest.mark.parametrize(("source", "rewritten"), SAME)
def test_forms_of_a_name_are_not_new(source: str, rewritten: str) -> None:
    found = compare_names(read_facts(source), read_facts(rewritten))
    assert (found.novel, found.missing) == ([], [])
    assert (found.recall, found.novelty) == (1.0, 1.0)


@pytest.mark.parametrize(("source", "rewritten", "name"), NEW)
def test_new_names_are_found(source: str, rewritten: str, name: str) -> None:
    found = compare_names(read_facts(source), read_facts(rewritten))
    assert found.novel == [name]
    assert found.novelty < 1


def test_the_share_of_missing_names_is_told() -> None:
    found = compare_names(read_facts("He saw Rome, Oslo, Bonn and Kyiv."), read_facts("He saw Rome and Oslo."))
    assert found.missing == ["Bonn", "Kyiv"]
    assert found.recall == pytest.approx(0.5)


SWAPPED_NAMES = [
    ("Germany defeated France in a long war.", "France defeated Germany in a long war."),
    ("Germany defeated France in a long war.", "Germany was defeated by France in a long war."),
    ("In 1905 Anna Smith taught Peter Brown.", "In 1905 Peter Brown taught Anna Smith."),
    ("The train runs from Paris to London each day.", "The train runs from London to Paris each day."),
    (
        "The capital of France is Paris. The capital of Italy is Rome.",
        "The capital of France is Rome. The capital of Italy is Paris.",
    ),
    ("Smith wrote the music and Jones painted the walls.", "Jones wrote the music and Smith painted the walls."),
    ("In 1850 Brazil bought coal from Chile.", "In 1850 Chile bought coal from Brazil."),
    (
        "The lake lies north of Bern and the forest lies near Basel.",
        "The lake lies north of Basel and the forest lies near Bern.",
    ),
]
KEPT_NAMES = [
    ("Germany defeated France in a long war.", "France was defeated by Germany in a long war."),
    ("Germany and France signed the treaty.", "France and Germany signed the treaty."),
    ("The train runs from Paris to London each day.", "Each day the train runs to London from Paris."),
    (
        "The capital of France is Paris. The capital of Italy is Rome.",
        "Paris is the capital of France. Rome is Italy's capital.",
    ),
    (
        "Smith wrote the music and Jones painted the walls.",
        "The walls were painted by Jones, and Smith wrote the music.",
    ),
    (
        "Marie Curie was born in Warsaw. She won the prize with Pierre.",
        "Marie Curie was born in Warsaw. Curie won the prize with Pierre.",
    ),
    ("In 1905 Anna Smith taught Peter Brown.", "Peter Brown was taught by Anna Smith in 1905."),
]


@pytest.mark.parametrize(("source", "rewritten"), SWAPPED_NAMES)
def test_swapped_names_are_found(source: str, rewritten: str) -> None:
    assert swapped_names(read_facts(source), read_facts(rewritten))


@pytest.mark.parametrize(("source", "rewritten"), KEPT_NAMES)
def test_names_that_keep_their_roles_are_no_swap(source: str, rewritten: str) -> None:
    assert swapped_names(read_facts(source), read_facts(rewritten)) == []


SWAPPED_NUMBERS = [
    ("The bridge has 47 lamps and 23 pillars.", "The bridge has 23 lamps and 47 pillars."),
    ("In the crash 47 people were killed and 23 were hurt.", "In the crash 23 people were killed and 47 were hurt."),
    ("Paris has 12 museums. London has 15 museums.", "Paris has 15 museums. London has 12 museums."),
    ("The dose is 5 mg for adults and 2 mg for children.", "The dose is 2 mg for adults and 5 mg for children."),
    ("He was born in 1850 and died in 1910.", "He was born in 1910 and died in 1850."),
    (
        "It was opened on 3 May 1850 and closed on 5 June 1910.",
        "It was opened on 5 June 1910 and closed on 3 May 1850.",
    ),
    ("Sales rose from 120 to 150 cars.", "Sales rose from 150 to 120 cars."),
    ("The red box weighs 12 kg, the blue one 15 kg.", "The red box weighs 15 kg, the blue one 12 kg."),
    ("Rows 10, 20 and 30 hold lead, tin and zinc.", "Rows 20, 10 and 30 hold lead, tin and zinc."),
]
KEPT_NUMBERS = [
    ("The bridge has 47 lamps and 23 pillars.", "The bridge has 23 pillars and 47 lamps."),
    ("In the crash 47 people were killed and 23 were hurt.", "The crash hurt 23 people and killed 47."),
    ("Paris has 12 museums. London has 15 museums.", "There are 15 museums in London and 12 museums in Paris."),
    ("He was born in 1850 and died in 1910.", "His birth was in 1850, his death in 1910."),
    ("He was born in 1850 and died in 1910.", "He died in 1910, having been born in 1850."),
    ("Sales rose from 120 to 150 cars.", "Car sales went up from 120 to 150."),
]


@pytest.mark.parametrize(("source", "rewritten"), SWAPPED_NUMBERS)
def test_swapped_numbers_are_found(source: str, rewritten: str) -> None:
    assert swapped_numbers(read_facts(source), read_facts(rewritten))


@pytest.mark.parametrize(("source", "rewritten"), KEPT_NUMBERS)
def test_numbers_that_move_with_their_words_are_no_swap(source: str, rewritten: str) -> None:
    assert swapped_numbers(read_facts(source), read_facts(rewritten)) == []
