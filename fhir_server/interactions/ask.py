"""What an interaction is asked and what it answers, over HTTP or as a bundle entry. https://hl7.org/fhir/R4/http.html"""

from typing import Any, NamedTuple

import msgspec

from fhir_server.fhir.codec import Resource
from fhir_server.store.seam import Stored

Pairs = tuple[tuple[str, str], ...]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request for one interaction. Preconditions are as written by the client, None when not given.

    A msgspec.Struct because one is made for every request: a frozen dataclass of 13 fields takes ten times as long.
    """

    type: str = ""
    id: str = ""
    version: str = ""
    compartment: str = ""  # the type before the id in Patient/123/Observation; `type` is then Observation
    query: Pairs = ()
    form: Pairs = ()  # _format and _pretty, which say nothing to an interaction but that links to pages repeat them
    resource: Resource | None = None
    patch: Any = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_none_exist: str | None = None
    if_modified_since: str | None = None
    lenient: bool = False  # Prefer: handling=lenient
    later: bool = False  # Prefer: respond-async
    separate: bool = False  # Prefer: separate-export-status
    accept: str | None = None
    sent: str = ""  # the query as it was sent, undecoded
    full: bool = False  # Prefer: return=representation, said outright (bundle responses then carry the resources)


class Answer(NamedTuple):
    """The outcome of an interaction: `stored` gives ETag and Last-Modified, and Location too when it was `written`."""

    status: int
    body: bytes = b""
    stored: Stored | None = None
    written: bool = False
    headers: tuple[tuple[str, str], ...] = ()  # further ones
    type: str = ""  # the media type of a body that is no FHIR resource
    patients: tuple[str, ...] = ()  # ids of those whom a body that is none was made of, for the audit trail
