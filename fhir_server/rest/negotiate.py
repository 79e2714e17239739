"""Which format a client wants and sends, and what it prefers. https://hl7.org/fhir/R4/http.html#mime-type"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from fhir_server.fhir.outcome import refuse

# What is written, by MIME type: a client that asks for a general type is answered with that type.
WRITTEN = {
    "application/fhir+json": "json",
    "application/json": "json",
    "text/json": "json",
    "application/fhir+xml": "xml",
    "application/xml": "xml",
    "text/xml": "xml",
    "text/html": "html",
}
SHORT = {"json": "application/fhir+json", "xml": "application/fhir+xml", "html": "text/html"}  # values of _format
READ = {type: kind for type, kind in WRITTEN.items() if kind != "html"}
# What a body may be, by what the interaction takes; the kind says how it is decoded.
BODY_TYPES: Mapping[str, Mapping[str, str]] = {
    "resource": READ,
    "operation": READ,
    "patch": {
        "application/json-patch+json": "json-patch",
        "application/fhir+json": "json",  # FHIRPath Patch, in Parameters
        "application/fhir+xml": "xml",
    },
    "manifest": {"application/json": "plain", "application/fhir+json": "plain"},
    "form": {"application/x-www-form-urlencoded": "form"},
}
# Operations that answer with no resource: what _format and Accept say is theirs to read.
APART = frozenset({"$viewdefinition-run"})
_DEFAULT = {"resource": "json", "operation": "json", "patch": "json-patch", "manifest": "plain", "form": "form"}
_FHIR_VERSIONS = ("4.0", "4.0.1")  # https://hl7.org/fhir/R4/http.html#version-parameter
_RANGES = 100  # media ranges of an Accept header that are looked at

Headers = Mapping[bytes, bytes]


class Form(NamedTuple):
    """How an answer is written: `kind` is json, xml, html or (binary.py) raw, `type` the Content-Type header."""

    kind: str
    type: tuple[bytes, bytes]
    pretty: bool = False


def _form(mime: str, pretty: bool = False) -> Form:
    return Form(WRITTEN[mime], (b"content-type", f"{mime}; charset=utf-8".encode()), pretty)


JSON = _form("application/fhir+json")
PLAIN = (None, b"*/*", b"application/fhir+json")  # what Accept says of most requests, which are answered with JSON


class Preference(NamedTuple):
    """What `Prefer` asks for; `returns` is minimal, representation, OperationOutcome or "" when it does not say."""

    returns: str = ""
    lenient: bool = False
    later: bool = False  # respond-async
    separate: bool = False  # separate-export-status


@lru_cache(maxsize=256)
def wanted(accept: bytes | None, format: str | None, pretty: str | None) -> Form:
    """The form that `Accept`, `_format` and `_pretty` ask for, of which `_format` counts more than `Accept`.

    Plain FHIR JSON is always the same object, JSON. Raises FhirError 406 if it is none that this server writes.
    """
    if format is not None:
        mime = format.partition(";")[0].strip().lower().replace(" ", "+")  # an unescaped + arrives as a space
        mime = SHORT.get(mime, mime)
        if mime not in WRITTEN:
            raise refuse(406, "not-supported", f"_format={format[:50]!r} is not written here: use {_choice()}.")
    elif accept is None or accept.isspace() or not accept:
        mime = "application/fhir+json"
    else:
        mime = _best(accept.decode("latin-1"))
    found = _form(mime, pretty == "true")
    return JSON if found == JSON else found


def _best(accept: str) -> str:
    """The MIME type of the highest quality; then the one named most exactly, first, or preferred by us (JSON)."""
    ranges = media_ranges(accept)
    rated = []
    for at, mime in enumerate(WRITTEN):
        # The most exact range that covers a type tells its quality. https://www.rfc-editor.org/rfc/rfc9110#name-accept
        exact, quality, place = max(
            ((covers(kind, mime), quality, -number) for number, (kind, quality) in enumerate(ranges)),
            default=(0, 0.0, 0),
        )
        if exact and quality:
            rated.append((quality, exact, place, -at, mime))
    if not rated:
        raise refuse(406, "not-supported", f"None of the types in Accept is written here: use {_choice()}.")
    return max(rated)[-1]


def media_ranges(accept: str) -> list[tuple[str, float]]:
    """The media ranges of an Accept header, each with its quality."""
    return [_range(text) for text in accept.split(",", _RANGES)[:_RANGES] if text.strip()]


def _range(text: str) -> tuple[str, float]:
    """A media range and its quality, 0 if it is refused or asks for another version of FHIR."""
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for name, _, value in (part.partition("=") for part in parameters):
        value = value.strip().strip('"')
        if name.strip() == "q":
            try:
                quality = min(max(float(value), 0.0), 1.0)
            except ValueError:
                quality = 0.0
        elif name.strip() == "fhirversion" and value not in _FHIR_VERSIONS:
            return kind, 0.0
    return kind, quality if quality == quality else 0.0  # NaN is no quality


def covers(range: str, mime: str) -> int:
    """How exactly a media range names a type: 3 itself, 2 its family, 1 anything, 0 not at all."""
    if range == mime:
        return 3
    if range == mime.partition("/")[0] + "/*":
        return 2
    return 1 if range == "*/*" else 0


def _choice() -> str:
    return ", ".join(SHORT.values())


def body_kind(headers: Headers, body: str) -> str:
    """How to decode the body of an interaction that takes `body`: json, xml, json-patch or form.

    Raises FhirError 415 for what is not read there, another character set or another version of FHIR.
    """
    given = headers.get(b"content-type")
    if given is None:
        return _DEFAULT[body]
    mime, *parameters = (text.strip().lower() for text in given.decode("latin-1").split(";"))
    kind = BODY_TYPES[body].get(mime)
    if kind is None:
        known = " or ".join(type for type in BODY_TYPES[body] if type not in ("text/json", "text/xml"))
        raise refuse(415, "not-supported", f"Content-Type {mime[:50]!r} is not read here: send {known}.")
    for name, _, value in (text.partition("=") for text in parameters):
        value = value.strip().strip('"')
        if name.strip() == "charset" and value not in ("utf-8", "utf8", "us-ascii"):
            raise refuse(415, "not-supported", "The body must be in UTF-8.")
        if name.strip() == "fhirversion" and value not in _FHIR_VERSIONS:
            raise refuse(415, "not-supported", f"FHIR {value[:20]!r} is not read here: send R4, fhirVersion=4.0.")
    return kind


@lru_cache(maxsize=256)
def preference(prefer: bytes) -> Preference:
    """Read a `Prefer` header. https://hl7.org/fhir/R4/http.html#ops"""
    said = {}
    for part in prefer.decode("latin-1").replace(";", ",").split(","):
        name, _, value = part.partition("=")
        said[name.strip().lower()] = value.strip().strip('"')
    returns = {text.lower(): text for text in ("minimal", "representation", "OperationOutcome")}
    lenient = said.get("handling", "").lower() == "lenient"
    shown = returns.get(said.get("return", "").lower(), "")
    return Preference(shown, lenient, "respond-async" in said, "separate-export-status" in said)
