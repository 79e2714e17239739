"""Primitive formats: the specification's patterns, and what its text adds to them. https://hl7.org/fhir/R4/datatypes.html"""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.dates import bounds
from fhir_server.validation.primitives import PRIMITIVES
from fhir_server.validation.problem import Scope

SCOPE = Scope({}, 0)
YEAR = "([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
MONTH, DAY = "(0[1-9]|1[0-2])", "(0[1-9]|[1-2][0-9]|3[0-1])"
CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
ZONE = r"(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
# As R4 prints them; its \s is the white space of XML.
PATTERNS = {
    # The published (\s*([0-9a-zA-Z\+/=]){4}\s*)+ takes exponential time to fail; this is the same language.
    "base64Binary": r"\s*([0-9a-zA-Z+/=]{4}\s*)+",
    "canonical": r"\S+",
    "code": r"[^\s]+(\s[^\s]+)*",
    "date": f"{YEAR}(-{MONTH}(-{DAY})?)?",
    "dateTime": f"{YEAR}(-{MONTH}(-{DAY}(T{CLOCK}{ZONE})?)?)?",
    "id": r"[A-Za-z0-9\-\.]{1,64}",
    "instant": f"{YEAR}-{MONTH}-{DAY}T{CLOCK}{ZONE}",
    "markdown": r"[ \r\n\t\S]+",
    "oid": r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+",
    "string": r"[ \r\n\t\S]+",
    "time": CLOCK,
    "uri": r"\S+",
    "url": r"\S+",
    "uuid": "urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
DATES = ("date", "dateTime", "instant")


def accepts(type: str, value: Any) -> bool:
    return not PRIMITIVES[type](value, SCOPE)


def spoiled(draw: st.DrawFn, pattern: str) -> str:
    """A text of the pattern, in half of the cases with one character changed, added or removed."""
    text: str = draw(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True))
    if draw(st.booleans()) and text:
        at = draw(st.integers(0, len(text) - 1))
        text = (
            text[:at]
            + draw(st.sampled_from(["", " ", "\n", "0", "9", "-", "Z", "é", "\xa0", "\u2028", "="]))
            + text[at + 1 :]
        )
    return text


@pytest.mark.parametrize("type", PATTERNS)
@given(data=st.data())
def test_agrees_with_the_published_pattern(type: str, data: st.DataObject) -> None:
    text = data.draw(st.composite(spoiled)(PATTERNS[type]))
    form = re.compile(PATTERNS[type], re.ASCII)
    wanted = form.fullmatch(text) is not None and not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", text)
    if type in DATES and wanted and len(text) >= 10:
        wanted = in_calendar(text)
    if type == "base64Binary":
        wanted = wanted and re.fullmatch(r"[^=]+={0,2}", re.sub(r"\s", "", text)) is not None
    assert accepts(type, text) is wanted, text


def in_calendar(text: str) -> bool:
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]


@pytest.mark.parametrize("type", DATES)
@given(data=st.data())
def test_every_accepted_date_can_be_searched(type: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(PATTERNS[type], fullmatch=True))
    if accepts(type, text):
        low, high = bounds(text)
        assert low < high


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("boolean", True),
        ("integer", -2_147_483_648),
        ("integer", 2_147_483_647),
        ("unsignedInt", 0),
        ("positiveInt", 1),
        ("decimal", 3),
        ("decimal", Decimal("-0.00")),
        ("decimal", Decimal("1.0E+25")),
        ("string", " leading\n and é 漢 \t"),
        ("string", "x" * 1_048_576),
        ("base64Binary", "aGVs\nbG8="),
        ("code", "a b"),
        ("date", "2024-02-29"),
        ("dateTime", "2016-12-31T23:59:60Z"),
        ("uri", "urn:oid:1.2"),
        ("uri", "http://example.org/ü?x=1|2#y"),
    ],
)
def test_accepts(type: str, value: Any) -> None:
    assert accepts(type, value)


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("boolean", "true"),
        ("boolean", 1),
        ("integer", True),
        ("integer", Decimal("1.0")),
        ("integer", 2_147_483_648),
        ("integer", "1"),
        ("unsignedInt", -1),
        ("positiveInt", 0),
        ("decimal", "1.0"),
        ("decimal", True),
        ("decimal", Decimal("1E+400")),
        ("decimal", 10**400),
        ("string", ""),
        ("string", "a\x00"),
        ("string", "x" * 1_048_577),
        ("uri", "x" * 1_048_577),
        ("string", 5),
        ("uri", ""),
        ("uri", "a b"),
        ("code", " a"),
        ("code", "a  b"),
        ("date", "2023-02-29"),
        ("date", "2023-2-9"),
        ("date", "2023-02-09\n"),
        ("date", "٢٠٢٣"),
        ("date", "0000"),
        ("dateTime", "2023-02-09T10:00:00"),
        ("dateTime", "2023-02-09T10:00Z"),
        ("dateTime", "2023-02-31T10:00:00Z"),
        ("instant", "2023-02-09"),
        ("time", "24:00:00"),
        ("id", ""),
        ("id", "a_b"),
        ("uuid", "urn:uuid:C757873D-EC9A-4326-A141-556F43239520"),
        ("base64Binary", "abc"),
        ("base64Binary", "ab=c"),
        ("base64Binary", ""),
    ],
)
def test_refuses(type: str, value: Any) -> None:
    assert not accepts(type, value)


@pytest.mark.parametrize("type", sorted(PRIMITIVES))
@pytest.mark.parametrize("value", [None, [], {}, ["x"], {"x": 1}], ids=str)
def test_no_primitive_is_an_object_an_array_or_null(type: str, value: Any) -> None:
    assert [problem.code for problem in PRIMITIVES[type](value, SCOPE) or ()] == ["structure"]
