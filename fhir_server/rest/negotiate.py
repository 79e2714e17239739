"""Which format a client wants and sends, and what it prefers. https://hl7.org/fhir/R4/http.html#mime-type"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from fhir_server.fhir.outcome import refuse

JSON_TYPES = frozenset({"application/fhir+json", "application/json", "text/json"})
FORMATS = JSON_TYPES | {"json"}  # values of _format
PATCH_TYPES = frozenset({"application/json-patch+json"})
FORM_TYPES = frozenset({"application/x-www-form-urlencoded"})
BODY_TYPES = {"resource": JSON_TYPES, "operation": JSON_TYPES, "patch": PATCH_TYPES, "form": FORM_TYPES}
_ANY = JSON_TYPES | {"*/*", "application/*", "text/*"}

Headers = Mapping[bytes, bytes]


class Preference(NamedTuple):
    """What `Prefer` asks for; `returns` is minimal, representation, OperationOutcome or "" when it does not say."""

    returns: str = ""
    lenient: bool = False


def require_acceptable(headers: Headers, format: str | None) -> None:
    """Raise FhirError 406 unless the client takes JSON; `_format` counts more than `Accept`."""
    if format is not None:
        if format.partition(";")[0].strip().replace(" ", "+") not in FORMATS:  # an unescaped + arrives as a space
            raise refuse(406, "not-supported", f"This server writes JSON only, not _format={format[:50]!r}.")
        return
    accept = headers.get(b"accept")
    if accept is not None and not _accepts_json(accept):
        raise refuse(406, "not-supported", "This server writes JSON only: send Accept: application/fhir+json.")


@lru_cache(maxsize=256)
def _accepts_json(accept: bytes) -> bool:
    for part in accept.decode("latin-1").split(","):
        kind, *parameters = (text.strip().lower() for text in part.split(";"))
        if kind in _ANY and not any(
            text.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for text in parameters
        ):
            return True
    return not accept.strip()


def require_content_type(headers: Headers, body: str) -> None:
    """Raise FhirError 415 unless the body of this kind (`resource`, `patch`, `form`) is in a format we read."""
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if encoding not in ("identity", ""):
        raise refuse(415, "not-supported", f"The body must not have the Content-Encoding {encoding[:50]!r}.")
    given = headers.get(b"content-type")
    if given is None:
        return
    kind, *parameters = (text.strip().lower() for text in given.decode("latin-1").split(";"))
    if kind not in BODY_TYPES[body]:
        wanted = " or ".join(sorted(BODY_TYPES[body]))
        raise refuse(415, "not-supported", f"Content-Type {kind[:50]!r} is not read here: send {wanted}.")
    for text in parameters:
        if text.startswith("charset=") and text[8:].strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise refuse(415, "not-supported", "The body must be in UTF-8.")


@lru_cache(maxsize=256)
def preference(prefer: bytes) -> Preference:
    """Read a `Prefer` header. https://hl7.org/fhir/R4/http.html#ops"""
    said = {}
    for part in prefer.decode("latin-1").replace(";", ",").split(","):
        name, _, value = part.partition("=")
        said[name.strip().lower()] = value.strip().strip('"')
    returns = {text.lower(): text for text in ("minimal", "representation", "OperationOutcome")}
    return Preference(returns.get(said.get("return", "").lower(), ""), said.get("handling", "").lower() == "lenient")
