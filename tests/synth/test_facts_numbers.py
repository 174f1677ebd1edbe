"""Numbers are the same in every spelling, and different ones are never the same."""

import pytest

from hf_muonclip.synth.facts.date_match import compare_dates
from hf_muonclip.synth.facts.number_match import compare_numbers
from hf_muonclip.synth.facts.number_words import read_words, roman
from hf_muonclip.synth.facts.reading import read_facts


def say_the_same(one: str, other: str) -> bool:
    for source, rewritten in ((one, other), (other, one)):
        numbers = compare_numbers(read_facts(source), read_facts(rewritten))
        dates = compare_dates(read_facts(source), read_facts(rewritten))
        if numbers.missing or numbers.novel or numbers.units or numbers.bounds or dates.missing or dates.novel:
            return False
    return True


SAME = [
    ("It has 47 rooms.", "It has forty-seven rooms."),
    ("It has 1,500,000 rooms.", "It has 1.5 million rooms."),
    ("It has 1500000 rooms.", "It has one and a half million rooms."),
    ("They sold 2,000,000 copies.", "They sold two million copies."),
    ("They sold 2.3 billion.", "They sold 2,300,000,000."),
    ("They sold 125 cars.", "They sold one hundred and twenty-five cars."),
    ("They sold 125 cars.", "They sold a hundred and twenty-five cars."),
    ("They sold 3,450 cars.", "They sold three thousand four hundred and fifty cars."),
    ("They sold 12 eggs.", "They sold a dozen eggs."),
    ("They sold 24 eggs.", "They sold two dozen eggs."),
    ("There were 100 men.", "There were a hundred men."),
    ("He ate 50% of it.", "He ate half of it."),
    ("He ate 25 percent of it.", "He ate a quarter of it."),
    ("He ate 75 % of it.", "He ate three quarters of it."),
    ("He ate 2/3 of it.", "He ate two thirds of it."),
    ("He ate two-thirds of it.", "He ate two thirds of it."),
    ("He ate 1/4 of it.", "He ate ¼ of it."),
    ("It weighs 2½ kg.", "It weighs 2.5 kilograms."),
    ("It took 2 1/2 hours.", "It took two and a half hours."),
    ("It rose by 5%.", "It rose by 5 percent."),
    ("It rose by 5%.", "It rose by five per cent."),
    ("It is 5 km long.", "It is 5 kilometres long."),
    ("It is 5 km long.", "It is five kilometers long."),
    ("It is 5km long.", "It is 5 km long."),
    ("It is 5 km long.", "It is 5,000 m long."),
    ("It weighs 5 kg.", "It weighs 5 kilograms."),
    ("It weighs 0.5 kg.", "It weighs 500 g."),
    ("It weighs 3 lb.", "It weighs three pounds."),
    ("It takes 20 s.", "It takes 20 seconds."),
    ("It takes 90 minutes.", "It takes 1.5 hours."),
    ("It takes 24 hours.", "It takes a day."),
    ("It took 10 years.", "It took a decade."),
    ("It took two decades.", "It took twenty years."),
    ("It took two weeks.", "It took a fortnight."),
    ("A 5-year plan.", "A five-year plan."),
    ("An area of 12 km².", "An area of 12 square kilometres."),
    ("An area of 12 km2.", "An area of 12 sq km."),
    ("A volume of 3 m³.", "A volume of 3 cubic metres."),
    ("It ran at 80 km/h.", "It ran at 80 kilometres per hour."),
    ("It ran at 80 km/h.", "It ran at 80 kph."),
    ("It ran at 60 mph.", "It ran at 60 miles per hour."),
    ("It falls at 9 m/s.", "It falls at 9 metres per second."),
    ("It is 20 °C.", "It is 20 degrees Celsius."),
    ("It is 20°C.", "It is twenty degrees celsius."),
    ("It is -5 °C.", "It is minus 5 degrees Celsius."),
    ("It is −5 °C.", "It is five degrees Celsius below zero."),  # noqa: RUF001
    ("It is 100 °C.", "It is 212 °F."),
    ("It cost $5 million.", "It cost 5 million dollars."),
    ("It cost $5m.", "It cost $5 million."),
    ("It cost US$5 million.", "It cost $5,000,000."),
    ("It cost €2.3 million.", "It cost 2.3 million euros."),
    ("It cost £12.", "It cost twelve pounds."),
    ("It cost $3bn.", "It cost 3 billion dollars."),
    ("It draws 3.2 kW.", "It draws 3.2 kilowatts."),
    ("It draws 3200 W.", "It draws 3.2 kW."),
    ("It runs at 230 V.", "It runs at 230 volts."),
    ("It has 16 GB.", "It has 16 gigabytes."),
    ("Blocks of 64 KiB.", "64 KiB blocks."),
    ("Every 500 ms.", "Every 500 milliseconds."),
    ("From 5 to 10 km.", "5-10 km."),
    ("From 5 to 10 km.", "5–10 kilometres."),
    ("Between 5 and 10 km.", "From 5 km to 10 km."),
    ("They are 10, 20 and 30 km away.", "They are 10 km, 20 km and 30 km away."),
    ("It cost $5-10 million.", "It cost $5 million to $10 million."),
    ("Version 3.11.7 is out.", "The version 3.11.7 is out."),
    ("It uses v2.4.1.", "It uses version 2.4.1."),
    ("It starts at 5:30 pm.", "It starts at 17:30."),
    ("It starts at 5 pm.", "It starts at 5 p.m."),
    ("It starts at 5 pm.", "It starts at 5:00 pm."),
    ("He came 21st.", "He came twenty-first."),
    ("He came 4th.", "He came fourth."),
    ("The 5th anniversary.", "The fifth anniversary."),
    ("Light moves at 3 × 10^8 m/s.", "Light moves at 300,000,000 m/s."),
    ("Light moves at 3 x 10⁸ m/s.", "Light moves at 300 million metres per second."),
    ("It is 1e6.", "It is one million."),
    ("It has 10 000 rooms.", "It has 10,000 rooms."),
    ("King Henry VIII died.", "King Henry the Eighth died."),
    ("Pope Pius XII spoke.", "Pope Pius the 12th spoke."),
    ("One of the men left.", "A man left."),
    ("Both men left.", "The two men left."),
    ("He won twice.", "He won two times."),
    ("He bought apples, pears and figs.", "He bought three fruits: apples, pears and figs."),
    ("He came in first.", "He won."),
    ("The load is 5 km (3.1 miles).", "The load is 5 km."),
    ("More than 50 men came.", "Over 50 men came."),
    ("At least 50 men came.", "No fewer than 50 men came."),
    ("Up to 50 men came.", "At most 50 men came."),
    ("1. Cut it. It has 5 parts.", "Cut it. It has 5 parts."),
    ("It has 5 parts [3].", "It has 5 parts."),
    ("Nine of 10 agree.", "9 of ten agree."),
    ("The ratio is 3:1.", "The ratio is 3:1."),
    ("A 32-bit sum.", "A sum of 32 bits."),
    ("It has 300 people per square kilometre.", "It has 300 people per km²."),
    # years and dates
    ("It opened on 3 May 1998.", "It opened on May 3, 1998."),
    ("It opened on 3 May 1998.", "It opened on 1998-05-03."),
    ("It opened on 3 May 1998.", "It opened on the 3rd of May, 1998."),
    ("It opened on 3 May 1998.", "It opened on the third of May 1998."),
    ("It opened on 3 May 1998.", "In 1998 it opened, on 3 May."),
    ("It opened on 3 May 1998.", "It opened on 3 May nineteen ninety-eight."),
    ("It opened on 25/12/1998.", "It opened on 25 December 1998."),
    ("It opened on 12/25/1998.", "It opened on December 25th, 1998."),
    ("It opened on 03/04/1998.", "It opened on 3 April 1998."),
    ("It opened on 03/04/1998.", "It opened on March 4, 1998."),
    ("It opened on May 21st.", "It opened on 21 May."),
    ("It opened on the twenty-first of May.", "It opened on May 21."),
    ("It opened in May 1998.", "In May of 1998 it opened."),
    ("It opened in Sept. 1998.", "It opened in September 1998."),
    ("It opened in 1805.", "It opened in eighteen oh five."),
    ("It opened in 2021.", "It opened in twenty twenty-one."),
    ("It opened in 2008.", "It opened in two thousand and eight."),
    ("It lasted from 1914 to 1918.", "It lasted 1914–1918."),
    ("It lasted from 1914 to 1918.", "It lasted 1914-18."),
    ("It lasted from 1914 to 1918.", "It lasted four years, from 1914 to 1918."),
    ("He died in 44 BC.", "He died in 44 BCE."),
    ("He died in 44 BC.", "In 44 B.C. he died."),
    ("It grew in the 1990s.", "It grew in the nineties."),
    ("It grew in the 1990s.", "It grew in the '90s."),
    ("A 19th-century house.", "A house of the nineteenth century."),
    ("A 19th century house.", "A house of the 1800s."),
    ("A house of the XIX century.", "A 19th-century house."),
    ("The 2nd century BC was calm.", "The second century BC was calm."),
    ("Born in 1950, he left in 1970.", "He was born in 1950 and left in 1970."),
]

DIFFERENT = [
    ("It has 47 rooms.", "It has 48 rooms."),
    ("It has 47 rooms.", "It has 470 rooms."),
    ("It has 47 rooms.", "It has forty-eight rooms."),
    ("It has 47 rooms.", "It has 74 rooms."),
    ("It has 1.5 million rooms.", "It has 15 million rooms."),
    ("It has 1.5 million rooms.", "It has 1.5 billion rooms."),
    ("It has two million rooms.", "It has three million rooms."),
    ("It has 5,000 rooms.", "It has 500 rooms."),
    ("He has three brothers.", "He has four brothers."),
    ("He has two brothers.", "He has three brothers."),
    ("He ate 50% of it.", "He ate 60% of it."),
    ("He ate two thirds of it.", "He ate three quarters of it."),
    ("He ate a third of it.", "He ate a quarter of it."),
    ("It is 5 km long.", "It is 5 miles long."),
    ("It is 5 km long.", "It is 5 m long."),
    ("It is 5 km long.", "It is 8 km long."),
    ("It is 5 miles long.", "It is 8 km long."),
    ("It weighs 5 mg.", "It weighs 5 g."),
    ("It weighs 5 µg.", "It weighs 5 mg."),
    ("It weighs 5 kg.", "It weighs 5 pounds."),
    ("It takes 12 weeks.", "It takes 12 months."),
    ("It takes 20 seconds.", "It takes 20 minutes."),
    ("It is 20 °C.", "It is 20 °F."),
    ("It is -5 °C.", "It is 5 °C."),
    ("It cost $5 million.", "It cost €5 million."),
    ("It cost $5 million.", "It cost $5 billion."),
    ("It cost 40 pounds.", "It cost 40 euros."),
    ("It draws 3.2 MW.", "It draws 3.2 mW."),
    ("It has 16 GB.", "It has 16 TB."),
    ("It has 64 KiB.", "It has 64 KB."),
    ("It covers 12 km².", "It covers 12 km."),
    ("It covers 12 square miles.", "It covers 12 square kilometres."),
    ("It ran at 80 km/h.", "It ran at 80 mph."),
    ("It rose 5 percentage points.", "It rose 6 percentage points."),
    ("Version 3.11.7 is out.", "Version 3.11.8 is out."),
    ("It starts at 5 pm.", "It starts at 5 am."),
    ("It starts at 17:30.", "It starts at 17:45."),
    ("He came 21st.", "He came 22nd."),
    ("King Henry VIII died.", "King Henry VII died."),
    ("Light moves at 3 × 10^8 m/s.", "Light moves at 3 × 10^9 m/s."),
    ("From 5 to 10 km.", "From 5 to 12 km."),
    ("More than 50 men came.", "Fewer than 50 men came."),
    ("At least 50 men came.", "At most 50 men came."),
    ("Over 50 men came.", "Under 50 men came."),
    ("50 or more men came.", "50 or fewer men came."),
    ("It opened on 3 May 1998.", "It opened on 4 May 1998."),
    ("It opened on 3 May 1998.", "It opened on 3 June 1998."),
    ("It opened on 3 May 1998.", "It opened on 3 May 1997."),
    ("It opened on 1998-05-03.", "It opened on 1998-05-13."),
    ("From 3 May 1998 to 5 June 2001.", "From 3 May 2001 to 5 June 1998."),
    ("It opened in May 1998.", "It opened in June 1998."),
    ("It opened in 1998.", "It opened in 1989."),
    ("It opened in 1998.", "It opened in the 1990s."),
    ("He died in 44 BC.", "He died in 44 AD."),
    ("He died in 44 BC.", "He died in 44."),
    ("It grew in the 1990s.", "It grew in the 1980s."),
    ("A 19th-century house.", "An 18th-century house."),
    ("It lasted from 1914 to 1918.", "It lasted from 1914 to 1919."),
    ("It lasted from 1914 to 1918.", "It lasted three years, from 1914 to 1918."),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_a_number_are_the_same(one: str, other: str) -> None:
    assert say_the_same(one, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_numbers_units_and_dates_are_different(one: str, other: str) -> None:
    assert not say_the_same(one, other)


@pytest.mark.parametrize(
    ("words", "value", "count"),
    [
        ("forty - seven rooms", 47, 3),
        ("seven", 7, 1),
        ("one hundred and five men", 105, 4),
        ("two thousand three hundred", 2300, 4),
        ("nineteen ninety - eight", 1998, 4),
        ("nineteen hundred men", 1900, 2),
        ("twelve hundred", 1200, 2),
        ("three million two hundred thousand and one", 3_200_001, 7),
        ("half a million", 500_000, 3),
        ("two and a half", 2.5, 4),
        ("twenty - first", 21, 3),
        ("hundredth", None, 0),
        ("a third of", 1 / 3, 2),
        ("a third man", None, 0),
        ("five and six", 5, 1),
        ("seven eight", 7, 1),
        ("house", None, 0),
    ],
)
def test_words_are_read_up_to_the_end_of_the_number(words: str, value: float | None, count: int) -> None:
    found = read_words(words.split())
    if value is None:
        assert found is None
    else:
        assert found is not None
        assert (found.value, found.words) == (pytest.approx(value, rel=1e-12), count)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("I", 1),
        ("IV", 4),
        ("VIII", 8),
        ("XIV", 14),
        ("XL", 40),
        ("MCMXCVIII", 1998),
        ("IIII", None),
        ("VX", None),
        ("ABC", None),
        ("", None),
    ],
)
def test_roman_numerals_are_read_or_refused(text: str, value: int | None) -> None:
    assert roman(text) == value
