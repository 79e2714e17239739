"""The formats of R4's primitive types. https://hl7.org/fhir/R4/datatypes.html#primitive

The patterns are the specification's, where \\s is the white space of XML: space, tab, CR, LF. `isprintable` decides the
common case of a text without a pattern search.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from fhir_server.validation.problem import Check, Found, Problem, Scope, shown
from fhir_server.validation.xhtml import check_xhtml

_YEAR = r"(?:[0-9](?:[0-9](?:[0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_DAY = r"(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_MEGABYTE = 1024 * 1024

_date = re.compile(rf"{_YEAR}(?:-(?:0[1-9]|1[0-2])(?:-{_DAY})?)?").fullmatch
_date_time = re.compile(rf"{_YEAR}(?:-(?:0[1-9]|1[0-2])(?:-{_DAY}(?:T{_CLOCK}{_ZONE})?)?)?").fullmatch
_instant = re.compile(rf"{_YEAR}-(?:0[1-9]|1[0-2])-{_DAY}T{_CLOCK}{_ZONE}").fullmatch
_time = re.compile(_CLOCK).fullmatch
_id = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_oid = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
_uuid = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_code = re.compile(r"[^\s]+(?:\s[^\s]+)*", re.ASCII).fullmatch
_uri = re.compile(r"\S+", re.ASCII).fullmatch
_base64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
# The published pattern, without its exponential search, and with padding at the end only.
_base64_in_lines = re.compile(
    r"[ \t\r\n]*(?:[A-Za-z0-9+/]{4}[ \t\r\n]*)*+(?:[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?[ \t\r\n]*"
).fullmatch
_control = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]").search


def check_string(value: Any, _: Scope) -> Found:
    """A string or markdown: 1 to 1,048,576 characters, of the control characters only tab, LF and CR."""
    if type(value) is str and value and len(value) <= _MEGABYTE and (value.isprintable() or not _control(value)):
        return None
    if type(value) is not str:
        return _wrong("a string", value)
    if not value:
        return [Problem("value", "must not be empty: leave the element out.")]
    return _too_long(value) or [
        Problem("value", "must not hold control characters other than tab, line feed and carriage return.")
    ]


def check_uri(value: Any, _: Scope) -> Found:
    """A uri, url or canonical: not empty, no white space."""
    if type(value) is str and value and value.isprintable() and " " not in value and len(value) <= _MEGABYTE:
        return None
    if type(value) is str and _uri(value) and not _control(value) and len(value) <= _MEGABYTE:
        return None
    return _too_long(value) or _wrong("a URI without white space", value)


def check_code(value: Any, _: Scope) -> Found:
    """A code: no white space but single spaces inside."""
    if type(value) is str and value and value.isprintable() and " " not in value and len(value) <= _MEGABYTE:
        return None
    if type(value) is str and _code(value) and not _control(value) and len(value) <= _MEGABYTE:
        return None
    return _too_long(value) or _wrong("a code (no white space other than single spaces inside)", value)


def check_boolean(value: Any, _: Scope) -> Found:
    """A JSON true or false."""
    return None if value is True or value is False else _wrong("true or false", value)


def check_decimal(value: Any, _: Scope) -> Found:
    """A JSON number, of a size that a double can hold, since search compares doubles."""
    if type(value) is int and -(10**308) < value < 10**308:
        return None
    if type(value) is Decimal and -400 < value.adjusted() < 308:
        return None
    return _wrong("a decimal number", value)


def check_date(value: Any, _: Scope) -> Found:
    """A date with the precision of a day, a month or a year."""
    if type(value) is str and _date(value) and (value[8:] < "29" or _in_calendar(value)):
        return None
    return _wrong("a date: YYYY, YYYY-MM or YYYY-MM-DD", value)


def check_date_time(value: Any, _: Scope) -> Found:
    """A date, or a date with a time and a zone."""
    if type(value) is str and _date_time(value) and (value[8:10] < "29" or _in_calendar(value)):
        return None
    return _wrong("a dateTime: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss[.fff] with Z or +hh:mm", value)


def check_instant(value: Any, _: Scope) -> Found:
    """A date with a time and a zone."""
    if type(value) is str and _instant(value) and (value[8:10] < "29" or _in_calendar(value)):
        return None
    return _wrong("an instant: YYYY-MM-DDThh:mm:ss[.fff] with Z or +hh:mm", value)


def check_base64(value: Any, _: Scope) -> Found:
    """Base64 text, padded; white space may stand between its groups of four."""
    if type(value) is not str or not value.strip():
        return _wrong("base64", value)
    if (len(value) % 4 == 0 and _base64(value)) or _base64_in_lines(value):
        return None
    return _wrong("base64", value)


def _pattern(matches: Any, wanted: str) -> Check:
    def check(value: Any, _: Scope) -> Found:
        return None if type(value) is str and matches(value) else _wrong(wanted, value)

    return check


def _integer(low: int, wanted: str) -> Check:
    def check(value: Any, _: Scope) -> Found:
        return None if type(value) is int and low <= value <= 2_147_483_647 else _wrong(wanted, value)

    return check


def _in_calendar(text: str) -> bool:
    """Whether a day that the pattern admits is one that exists: 30 February does not."""
    if len(text) < 10:
        return True
    try:
        date(int(text[:4]), int(text[5:7]), int(text[8:10]))
    except ValueError:
        return False
    return True


def _too_long(value: Any) -> Found:
    if type(value) is str and len(value) > _MEGABYTE:
        return [Problem("too-long", f"must have at most 1,048,576 characters, not {len(value):,}.")]
    return None


def _wrong(wanted: str, value: Any) -> list[Problem]:
    code = "value" if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool) else "structure"
    return [Problem(code, f"must be {wanted}, not {shown(value)}.")]


PRIMITIVES: Mapping[str, Check] = {
    "base64Binary": check_base64,
    "boolean": check_boolean,
    "canonical": check_uri,
    "code": check_code,
    "date": check_date,
    "dateTime": check_date_time,
    "decimal": check_decimal,
    "id": _pattern(_id, "an id: 1 to 64 letters, digits, hyphens and dots"),
    "instant": check_instant,
    "integer": _integer(-2_147_483_648, "an integer of 32 bits"),
    "markdown": check_string,
    "oid": _pattern(_oid, "an OID such as urn:oid:1.2.3"),
    "positiveInt": _integer(1, "an integer from 1 to 2,147,483,647"),
    "string": check_string,
    "time": _pattern(_time, "a time hh:mm:ss[.fff]"),
    "unsignedInt": _integer(0, "an integer from 0 to 2,147,483,647"),
    "uri": check_uri,
    "url": check_uri,
    "uuid": _pattern(_uuid, "a UUID such as urn:uuid:c757873d-ec9a-4326-a141-556f43239520, in lower case"),
    "xhtml": check_xhtml,
}
