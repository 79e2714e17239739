"""Units of UCUM that occur in clinical data, and the one unit that each is compared in. https://ucum.org/ucum

A unit of each dimension, the one most written in practice, is canonical: quantities in it need no second index entry.
Concentrations of mass and of substance are different dimensions: converting them takes the molar mass of a substance.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

SYSTEM = "http://unitsofmeasure.org"


class Scale(NamedTuple):
    """How a number in some unit becomes one in the canonical unit: `(number - offset) * factor`."""

    canonical: str
    factor: Fraction
    offset: Fraction = Fraction(0)

    def convert(self, number: Decimal | int) -> Fraction:
        """The number in the canonical unit, exactly."""
        return (Fraction(number) - self.offset) * self.factor


def scale(code: str) -> Scale | None:
    """The scale of a UCUM code, None when it is not in the table. Annotations such as {cells} mean nothing in UCUM; a
    unit that is nothing but an annotation is left alone, so that a {score} is not a {count}."""
    found = SCALES.get(code)
    return found if found is not None or "{" not in code else SCALES.get(_ANNOTATION.sub("", code))


_ANNOTATION = re.compile(r"\{[^{}]*\}")
_TEN = Fraction(10)
_PREFIXES = {"k": 3, "": 0, "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15}
_LITRES = {f"{prefix}{letter}": _TEN**power for prefix, power in _PREFIXES.items() for letter in "Ll"} | {
    "m3": _TEN**3, "dm3": _TEN**0, "cm3": _TEN**-3, "mm3": _TEN**-6, "um3": _TEN**-15,
}  # fmt: skip
_POUND = Fraction("0.45359237")
_GRAMS = {f"{prefix}g": _TEN**power for prefix, power in _PREFIXES.items()} | {
    "t": _TEN**6, "[lb_av]": _POUND * 1000, "[oz_av]": _POUND * 1000 / 16, "[stone_av]": _POUND * 14_000,
}  # fmt: skip
_METRES = {f"{prefix}m": _TEN**power for prefix, power in _PREFIXES.items()} | {
    "[in_i]": Fraction("0.0254"), "[ft_i]": Fraction("0.3048"), "[yd_i]": Fraction("0.9144"),
    "[mi_i]": Fraction("1609.344"),
}  # fmt: skip
_MOLES = {f"{prefix}mol": _TEN**power for prefix, power in _PREFIXES.items()}
_EQUIVALENTS = {f"{prefix}eq": _TEN**power for prefix, power in _PREFIXES.items()}
_OSMOLES = {f"{prefix}osm": _TEN**power for prefix, power in _PREFIXES.items()}
_UNITS = {"kU": _TEN**3, "U": _TEN**0, "mU": _TEN**-3, "uU": _TEN**-6, "nU": _TEN**-9}
_INTERNATIONAL = {f"{prefix}[{letter}U]": _TEN**power for prefix, power in _PREFIXES.items() for letter in "iI"}
_COUNTS = {"": _TEN**0, "1": _TEN**0, **{f"10*{power}": _TEN**power for power in (2, 3, 4, 5, 6, 9, 10, 11, 12)}}
_COUNTS |= {f"10^{power}": _TEN**power for power in (3, 6, 9, 12)}
_DAYS = {
    "d": Fraction(1), "wk": Fraction(7), "mo": Fraction("30.4375"), "mo_j": Fraction("30.4375"),
    "a": Fraction("365.25"), "a_j": Fraction("365.25"),
    "h": Fraction(1, 24), "min": Fraction(1, 1440), "s": Fraction(1, 86_400),
    "ms": Fraction(1, 86_400_000), "us": Fraction(1, 86_400_000_000),
}  # fmt: skip
_PASCALS = {
    "Pa": Fraction(1), "hPa": _TEN**2, "kPa": _TEN**3, "bar": _TEN**5, "mbar": _TEN**2, "atm": Fraction(101_325),
    "mm[Hg]": Fraction("133.322"), "m[Hg]": Fraction(133_322), "cm[H2O]": Fraction("98.0665"),
    "[psi]": Fraction("6894.757293168"),
}  # fmt: skip
_JOULES = {"J": Fraction(1), "kJ": _TEN**3, "MJ": _TEN**6, "cal": Fraction("4.184"), "kcal": Fraction(4184),
           "[Cal]": Fraction(4184)}  # fmt: skip
_RATIOS = {"%": _TEN**-2, "[ppth]": _TEN**-3, "[ppm]": _TEN**-6, "[ppb]": _TEN**-9}


def _over(amounts: Mapping[str, Fraction], divisors: Mapping[str, Fraction]) -> dict[str, Fraction]:
    return {f"{up}/{down}": a / b for up, a in amounts.items() for down, b in divisors.items()}


def _rates() -> dict[str, Fraction]:
    return _over({"": Fraction(1), "1": Fraction(1)}, {unit: _DAYS[unit] for unit in ("s", "min", "h", "d")})


# The canonical unit of each dimension, and what one of each unit is in some common measure of the dimension.
DIMENSIONS: tuple[tuple[str, Mapping[str, Fraction]], ...] = (
    ("kg", _GRAMS),
    ("cm", _METRES),
    ("m2", {f"{unit}2": size**2 for unit, size in _METRES.items() if "[" not in unit}),
    ("mL", _LITRES),
    ("d", _DAYS),
    ("mmol", _MOLES),
    ("mg/dL", _over(_GRAMS, _LITRES)),
    ("mmol/L", _over(_MOLES, _LITRES)),
    ("meq/L", _over(_EQUIVALENTS, _LITRES)),
    ("mosm/kg", _over(_OSMOLES, _GRAMS)),
    ("mg/g", _over(_GRAMS, _GRAMS)),
    ("10*3/uL", _over(_COUNTS, _LITRES)),
    ("U/L", _over(_UNITS, _LITRES)),
    ("[iU]/L", _over(_INTERNATIONAL, _LITRES)),
    ("mL/min", _over(_LITRES, {unit: _DAYS[unit] for unit in ("s", "min", "h", "d")})),
    ("/min", _rates()),
    ("mm[Hg]", _PASCALS),
    ("kcal", _JOULES),
    ("%", _RATIOS),
    ("1/1000000{Base}", dict.fromkeys(("1/1000000{Base}", "1/1000000", "/1000000", "10*-6", "1/10*6"), Fraction(1))),
)  # fmt: skip


def _scales() -> Iterator[tuple[str, Scale]]:
    for canonical, sizes in DIMENSIONS:
        for code, size in sizes.items():
            yield code, Scale(canonical, size / sizes[canonical])
    yield "Cel", Scale("Cel", Fraction(1))
    yield "[degF]", Scale("Cel", Fraction(5, 9), Fraction(32))
    yield "K", Scale("Cel", Fraction(1), Fraction("273.15"))


SCALES: Mapping[str, Scale] = dict(_scales())
