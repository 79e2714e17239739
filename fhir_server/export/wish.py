"""What an export is asked for: the parameters of a kick-off, read. https://hl7.org/fhir/uv/bulkdata/STU3/export.html#query-parameters

A wish says nothing of the caller's rights: they are asked again wherever resources are read.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

from fhir_server.export.members import kinds_of
from fhir_server.fhir.dates import bounds
from fhir_server.fhir.definitions import Definitions
from fhir_server.fhir.outcome import FhirError, Issue, refuse
from fhir_server.fhir.references import parse
from fhir_server.search.parse import RESULT

FORMATS = ("application/fhir+ndjson", "application/ndjson", "ndjson")
ASSOCIATED = ("LatestProvenanceResources", "RelevantProvenanceResources")
AHEAD = 300_000_000  # microseconds that a client's clock may be before ours
MOST_FILTERS = 100
# A comma separates queries where another type follows; elsewhere it is part of a query.
_COMMA = re.compile(r",(?=[A-Z][A-Za-z]{1,63}\?)")

_FORMING = (*RESULT, "_include", "_revinclude", "_type")

Pairs = tuple[tuple[str, str], ...]
Given = Iterable[tuple[str, Any, str]]  # name, value, place of each parameter


class Filter(msgspec.Struct, frozen=True):
    """A search that narrows one type; several of a type add up."""

    type: str
    pairs: Pairs


class Wish(msgspec.Struct, frozen=True):
    """An export as it is asked for. Times are microseconds since 1970; `types` are all that it may hold, in order."""

    level: str  # system, patient or group
    types: tuple[str, ...]
    group: str = ""
    named: bool = False  # the types were named by the client
    since: int | None = None  # changed later than this
    until: int | None = None  # and before this
    elements: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    patients: tuple[str, ...] = ()
    associated: tuple[str, ...] = ()
    organized: bool = False  # person after person, not type after type
    partial: bool = False  # manifests may come in pieces, the first before all is done


class Reading:
    """The parameters seen so far, and what was let pass because the client is lenient."""

    def __init__(self, definitions: Definitions, level: str, base: str, now: int, lenient: bool) -> None:
        self.definitions, self.level, self.base, self.now, self.lenient = definitions, level, base, now, lenient
        self.found: dict[str, Any] = {}
        self.passed: list[Issue] = []

    def unsupported(self, text: str, name: str) -> None:
        """Raise FhirError 400 unless the client is lenient."""
        if not self.lenient:
            raise refuse(400, "not-supported", text, name)
        self.passed.append(Issue("not-supported", f"{text} It was ignored.", (name,), "warning"))

    def add(self, name: str, values: Iterable[Any]) -> None:
        """Values of a parameter that may repeat."""
        self.found.setdefault(name, {}).update(dict.fromkeys(values))


def read_wish(
    definitions: Definitions, level: str, group: str, given: Given, posted: bool, base: str, now: int, lenient: bool
) -> tuple[Wish, list[Issue]]:
    """The wish, and what of it was ignored. Raises FhirError 400."""
    reading = Reading(definitions, level, base, now, lenient)
    for name, value, at in given:
        if name == "patient" and not posted:
            raise refuse(400, "not-supported", "patient is given in the body of a POST, never in the URL.", at)
        read = PARAMETERS.get(name)
        if read is None:
            known = ", ".join(PARAMETERS)
            reading.unsupported(f"An export has no parameter {name[:60]!r}: it takes {known}.", name[:60])
        else:
            read(reading, value)
    found = reading.found
    since, until = found.get("_since"), found.get("_until")
    if since is not None and until is not None and since > until:
        raise refuse(400, "invalid", "_since lies after _until: nothing can have changed then.", "_since")
    types, named = _types(reading)
    filters = tuple(found.get("_typeFilter", ()))
    for one in filters:
        if one.type not in types:
            reading.unsupported(f"_typeFilter is about {one.type}, which is not exported.", "_typeFilter")
    wish = Wish(
        level,
        types,
        group,
        named,
        since,
        until,
        tuple(found.get("_elements", ())),
        tuple(one for one in filters if one.type in types),
        tuple(found.get("patient", ())),
        tuple(found.get("includeAssociatedData", ())),
        found.get("organizeOutputBy", False),
        found.get("allowPartialManifests", False),
    )
    return wish, reading.passed


def _types(reading: Reading) -> tuple[tuple[str, ...], bool]:
    """The types that the export is about, in the order in which they are written."""
    organized = reading.found.get("organizeOutputBy", False)
    kinds = kinds_of(reading.definitions, "patient" if organized else reading.level)
    asked = reading.found.get("_type")
    if asked is None:
        return (*kinds.first, *kinds.referenced, *kinds.last), False
    for type in asked:
        if type not in (*kinds.first, *kinds.referenced, *kinds.last):
            how = "leave out organizeOutputBy" if organized and reading.level == "system" else "use [base]/$export"
            reading.unsupported(f"{type} belongs to no patient, so that this export has none: {how}.", "_type")
    if reading.found.get("includeAssociatedData"):
        asked = {**asked, "Provenance": None}
    first = tuple(type for type in kinds.first if type in asked)
    last = tuple(type for type in kinds.last if type in asked)
    if not first and not reading.passed:
        text = "None of these types belongs to a patient: name those that refer to them too, or use [base]/$export."
        reading.unsupported(text, "_type")
    return (*first, *(type for type in kinds.referenced if type in asked), *last), True


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise refuse(400, "value", f"{name} needs a text.", name)
    return value


def _parts(name: str, value: Any) -> list[str]:
    found = [part.strip() for part in _text(name, value).split(",") if part.strip()]
    if not found:
        raise refuse(400, "value", f"{name} names nothing.", name)
    return found


def _output_format(reading: Reading, value: Any) -> None:
    text = _text("_outputFormat", value).partition(";")[0].strip().replace(" ", "+")  # a + that was not encoded
    if text not in FORMATS:
        raise refuse(400, "not-supported", f"_outputFormat {text[:60]!r}: there is {FORMATS[0]} only.", "_outputFormat")


def _instant(name: str) -> Callable[[Reading, Any], None]:
    def read(reading: Reading, value: Any) -> None:
        text = _text(name, value).replace(" ", "+")  # a + before the zone that was not encoded arrives as a space
        try:
            low = bounds(text)[0]
        except (ValueError, OverflowError):
            raise refuse(
                400, "value", f"{name} must be an instant such as 2026-03-09T10:00:00Z, not {text[:40]!r}.", name
            ) from None
        if name == "_since" and low > reading.now + AHEAD:
            raise refuse(400, "value", f"_since lies in the future: {text[:40]!r}.", name)
        if reading.found.setdefault(name, low) != low:
            raise refuse(400, "invalid", f"{name} can be given once only.", name)

    return read


def _type(reading: Reading, value: Any) -> None:
    for type in _parts("_type", value):
        if type not in reading.definitions.resources:
            raise refuse(400, "value", f"_type: R4 has no resource type {type[:60]!r}.", "_type")
        reading.add("_type", [type])


def _elements(reading: Reading, value: Any) -> None:
    known = reading.definitions
    for text in _parts("_elements", value):
        type, dot, name = text.rpartition(".")
        if dot and type not in known.resources:
            reading.unsupported(f"_elements: {text[:80]!r} is not an element of a resource itself.", "_elements")
            continue
        types = [type] if dot else known.resources
        if not any(_has(known, one, name) for one in types):
            reading.unsupported(f"_elements: there is no element {text[:80]!r}.", "_elements")
            continue
        reading.add("_elements", [text])


def _has(definitions: Definitions, type: str, name: str) -> bool:
    members = definitions.structures[type].elements
    return name in members or name in ("id", "meta") or any(member.choice == name for member in members.values())


def _type_filter(reading: Reading, value: Any) -> None:
    for text in _COMMA.split(_text("_typeFilter", value)):
        type, pairs, forming = read_query(text)
        if type not in reading.definitions.resources or not pairs:
            raise refuse(400, "value", f"_typeFilter: {text[:80]!r} is not Type?parameter=value.", "_typeFilter")
        if forming:
            reading.unsupported(f"_typeFilter: {forming[0]} is about pages, not about which resources.", "_typeFilter")
            continue
        reading.add("_typeFilter", [Filter(type, pairs)])
    if len(reading.found.get("_typeFilter", ())) > MOST_FILTERS:
        raise refuse(
            400, "too-costly", f"An export takes at most {MOST_FILTERS} queries in _typeFilter.", "_typeFilter"
        )


def read_query(text: str) -> tuple[str, Pairs, list[str]]:
    """`Type?query` as the type, the pairs of the query, and those of its names that are about pages.

    It is a part of a URL of its own: clients encode its commas so that they do not separate queries. A + is none of a
    form, though, but that of a time zone."""
    type, _, query = text.partition("?")
    parts = [part.partition("=") for part in query.split("&") if part]
    pairs = tuple((unquote(name), unquote(rest)) for name, _, rest in parts)
    return type, pairs, [name for name, _ in pairs if name.partition(":")[0] in _FORMING]


def _associated(reading: Reading, value: Any) -> None:
    for text in _parts("includeAssociatedData", value):
        if text in ASSOCIATED:
            reading.add("includeAssociatedData", [text])
        else:
            known = ", ".join(ASSOCIATED)
            reading.unsupported(f"includeAssociatedData: {text[:60]!r} is none of {known}.", "includeAssociatedData")


def _patient(reading: Reading, value: Any) -> None:
    if reading.level == "system":
        raise refuse(
            400, "not-supported", "patient is a parameter of Patient/$export and Group/[id]/$export.", "patient"
        )
    text = value.get("reference") if isinstance(value, Mapping) else value
    for one in _parts("patient", text):
        found = parse(one, reading.base)
        if found.type != "Patient":
            raise refuse(
                400, "value", f"patient: {one[:80]!r} is not a reference to a Patient of this server.", "patient"
            )
        reading.add("patient", [found.id])


def _organize(reading: Reading, value: Any) -> None:
    text = _text("organizeOutputBy", value)
    if text == "Patient":
        reading.found["organizeOutputBy"] = True
    else:
        reading.unsupported(f"organizeOutputBy={text[:60]}: files are organized by Patient only.", "organizeOutputBy")


def _partial(reading: Reading, value: Any) -> None:
    if value not in (True, False, "true", "false"):
        raise refuse(400, "value", "allowPartialManifests must be true or false.", "allowPartialManifests")
    reading.found["allowPartialManifests"] = value in (True, "true")


PARAMETERS: Mapping[str, Callable[[Reading, Any], None]] = {
    "_outputFormat": _output_format,
    "_since": _instant("_since"),
    "_until": _instant("_until"),
    "_type": _type,
    "_elements": _elements,
    "_typeFilter": _type_filter,
    "includeAssociatedData": _associated,
    "patient": _patient,
    "organizeOutputBy": _organize,
    "allowPartialManifests": _partial,
}


def elements_of(wish: Wish, type: str) -> Sequence[str]:
    """The elements that are wanted of a type; empty for all."""
    found = []
    for text in wish.elements:
        owner, _, name = text.rpartition(".")
        if owner in ("", type):
            found.append(name)
    return found


__all__ = ["FhirError", "Filter", "Wish", "elements_of", "read_wish"]
