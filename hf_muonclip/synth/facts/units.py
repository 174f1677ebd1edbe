"""Units of measure: their spellings, and what they are worth in the basic unit of their dimension.

Two measures are equal where their dimension and their worth are: "5 km", "5 kilometres" and "5,000 m" are the same,
"5 mg" and "5 g" are not. So an exact conversion is faithful (5 feet and 1.524 m), a rounded one (5 miles and 8 km)
is not.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from .tables import word_set


class Unit(NamedTuple):
    """A unit: value * factor + offset is the worth in the basic unit of the dimension."""

    dimension: str
    factor: float
    offset: float = 0.0


# "symbols | words": symbols as they are written, words in any case and in the plural; then the factor.
_UNITS = {
    "length": """m | metre meter =1; km | kilometre kilometer kms =1e3; cm | centimetre centimeter =1e-2; mm |
        millimetre
        millimeter =1e-3; µm μm um | micrometre micrometer micron =1e-6; nm | nanometre nanometer =1e-9; mi |
        mile =1609.344; yd | yard =0.9144; ft | foot feet =0.3048; in | inch inches =0.0254; nmi | =1852; au AU
        | =1.495978707e11; ly | lightyear =9.4607304725808e15; pc | parsec =3.0856775814913673e16""",
    "mass": """g | gram gramme =1e-3; kg | kilogram kilogramme kilo =1; mg | milligram milligramme =1e-6; µg μg mcg ug
        | microgram =1e-9; t | tonne =1e3; lb lbs | pound =0.45359237; oz | ounce =0.028349523125""",
    "ton": "| ton =1",
    "volume": """l L | litre liter =1e-3; ml mL | millilitre milliliter =1e-6; cl cL | centilitre centiliter =1e-5;
        dl dL
        | decilitre deciliter =1e-4; µl μL µL | microlitre microliter =1e-9; gal | gallon =3.785411784e-3; pt |
        pint =4.73176473e-4; qt | quart =9.46352946e-4; cc | =1e-6; | cup =2.365882365e-4; tbsp | tablespoon
        =1.478676478125e-5; tsp | teaspoon =4.92892159375e-6; bbl | barrel =0.158987294928""",
    "area": "ha | hectare =1e4; ac | acre =4046.8564224; sqm | =1; sqft | =0.09290304",
    "time": """s sec secs | second =1; min mins | minute =60; h hr hrs | hour =3600; d | day =86400; wk wks | week
        =604800; | fortnight =1209600; ms | millisecond =1e-3; µs μs us | microsecond =1e-6; ns | nanosecond
        =1e-9""",
    "months": """| month =1; yr yrs | year =12; | decade =120; | century centuries =1200; | millennium millennia
        =12000""",
    "temperature": "°C ℃ degC | celsius centigrade =1; K | kelvin =1",
    "fahrenheit": "°F ℉ degF | fahrenheit =1",
    "angle": "° deg | degree =1; rad | radian =57.29577951308232",
    "share": "% | percent =1; ‰ | permille =0.1; ppm | =1e-4; bps | basis_point =1e-2",
    "points": "pp | percentage_points percentage_point =1",
    "frequency": """Hz | hertz =1; kHz | kilohertz =1e3; MHz | megahertz =1e6; GHz | gigahertz =1e9; THz | terahertz
        =1e12;
        rpm | =0.016666666666666666""",
    "energy": """J | joule =1; kJ | kilojoule =1e3; MJ | megajoule =1e6; GJ | gigajoule =1e9; Wh | =3600; kWh | =3.6e6;
        MWh | =3.6e9; GWh | =3.6e12; TWh | =3.6e15; cal | calorie =4.184; kcal Cal | kilocalorie =4184; eV |
        electronvolt =1.602176634e-19; keV | =1.602176634e-16; MeV | =1.602176634e-13; GeV | =1.602176634e-10""",
    "power": """W | watt =1; kW | kilowatt =1e3; MW | megawatt =1e6; GW | gigawatt =1e9; mW | milliwatt =1e-3; TW |
        terawatt =1e12; hp | horsepower =745.6998715822702""",
    "force": "N | newton =1; kN | kilonewton =1e3; MN | meganewton =1e6",
    "pressure": """Pa | pascal =1; kPa | kilopascal =1e3; MPa | megapascal =1e6; GPa | gigapascal =1e9; hPa |
        hectopascal
        =100; bar | bars =1e5; mbar | millibar =100; atm | atmosphere =101325; psi | =6894.757293168361; mmHg |
        =133.322387415""",
    "voltage": "V | volt =1; kV | kilovolt =1e3; mV | millivolt =1e-3; MV | megavolt =1e6",
    "current": "A | ampere amp =1; mA | milliampere milliamp =1e-3; µA μA | microampere microamp =1e-6; kA | =1e3",
    "resistance": "Ω ohm | ohm =1; kΩ | kilohm =1e3; MΩ | megohm =1e6",
    "charge": "mAh | =1; Ah | =1000",
    "amount": "mol | mole =1; mmol | millimole =1e-3; µmol | micromole =1e-6",
    "level": "dB | decibel =1",
    "data": """B | byte =1; kB KB | kilobyte =1e3; MB | megabyte =1e6; GB | gigabyte =1e9; TB | terabyte =1e12; PB |
        petabyte =1e15; KiB | kibibyte =1024; MiB | mebibyte =1048576; GiB | gibibyte =1073741824; TiB |
        tebibyte =1099511627776""",
    "bits": """| bit =1; kbit kb Kb | kilobit =1e3; Mbit Mb | megabit =1e6; Gbit Gb | gigabit =1e9; bps | =1; kbps |
        =1e3; Mbps | =1e6; Gbps | =1e9""",
    "pixels": "px | pixel =1; MP | megapixel =1e6",
    "speed": "mph MPH | =0.44704; kph kmh | =0.2777777777777778; kn kt kts | knot =0.5144444444444445",
    "dollar": "$ US$ USD | dollar buck =1; ¢ | cent =0.01",
    "euro": "€ EUR | euro =1",
    "sterling": "£ GBP | pound_sterling =1; | shilling =0.05; | pence =0.01",
    "yen": "¥ JPY | yen =1",
    "rupee": "₹ INR Rs | rupee =1",
    "yuan": "RMB CNY | yuan renminbi =1",
    "franc": "CHF | franc =1",
    "rouble": "₽ RUB | rouble ruble =1",
    "mark": "DM | deutschmark reichsmark =1",
    "krona": "SEK NOK DKK | krona kronor krone kroner =1",
    "peso": "| peso =1",
    "won": "₩ KRW | =1",
}  # fmt: skip

_SYMBOLS: dict[str, Unit] = {}
_WORDS: dict[str, Unit] = {}
for _dimension, _lines in _UNITS.items():
    for _line in _lines.split(";"):
        _names, _, _factor = _line.partition("=")
        _symbols, _, _words = _names.partition("|")
        _unit = Unit(_dimension, float(_factor))
        for _symbol in _symbols.split():
            _SYMBOLS.setdefault(_symbol, _unit)
        for _word in _words.split():
            _WORDS.setdefault(_word, _unit)
            _WORDS.setdefault(_word + "s", _unit)
_SYMBOLS["°F"] = _SYMBOLS["℉"] = _WORDS["fahrenheit"] = Unit("temperature", 5 / 9, -160 / 9)
_SYMBOLS["K"] = _WORDS["kelvin"] = _WORDS["kelvins"] = Unit("temperature", 1.0, -273.15)
_WORDS["percentage_point"] = _WORDS["percentage_points"] = Unit("points", 1.0)
for _name in [name for name in _WORDS if "_" in name]:
    _WORDS[_name.replace("_", " ")] = _WORDS.pop(_name)

CURRENCY_MARKS = frozenset("$€£¥₹₽₩")
CURRENCIES = word_set("dollar euro sterling yen rupee yuan franc rouble mark krona peso won")
# Symbols that are also words: only units where they stand right behind digits ("5 in", never "five in").
_ALSO_WORDS = word_set("in a A t us s d h l L g m B V N K W J pt min ms MP Cal Rs")
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3, "²": 2, "³": 3}
_GLUED_POWER = re.compile(r"^(.*?)([²³23])$")


@lru_cache(maxsize=4096)
def simple_unit(word: str, digits: bool) -> Unit | None:
    """Return the unit that a word stands for, or None.

    Args:
        word: as it is written.
        digits: whether the number before it is written in digits.
    """
    if word in _SYMBOLS and (digits or len(word) > 2) and (digits or word not in _ALSO_WORDS):
        return _SYMBOLS[word]
    return _WORDS.get(word.lower())


def power_of(word: str) -> int:
    """Return 2 for "square", 3 for "cubic" and the like, else 1."""
    return _POWERS.get(word.lower().rstrip("."), 1)


def raised(unit: Unit, power: int) -> Unit:
    """Return a length to a power: square metres are an area, cubic metres a volume."""
    if power == 1 or unit.dimension != "length":
        return unit
    return Unit({2: "area", 3: "volume"}[power], unit.factor**power)


def per(unit: Unit, other: Unit) -> Unit:
    """Return a ratio of units; lengths by time are speeds."""
    factor = unit.factor / other.factor
    if (unit.dimension, other.dimension) == ("length", "time"):
        return Unit("speed", factor)
    return Unit(f"{unit.dimension}/{other.dimension}", factor)


def worth(value: float, unit: Unit) -> float:
    """Return a value in the basic unit of its dimension."""
    return value * unit.factor + unit.offset
