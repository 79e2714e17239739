"""A resource made ready to be written: checked, indexed and encoded before the transaction. https://hl7.org/fhir/R4/resource.html#Meta"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from fhir_server.fhir import codec, dates
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.search.predicate import Entry
from fhir_server.store.seam import Change

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
SERVER_META = ("versionId", "lastUpdated", "_versionId", "_lastUpdated")


instant = lru_cache(maxsize=256)(dates.instant)  # the resources of a transaction share theirs


class Draft(NamedTuple):
    """All of a new version but its identity, version and time, which are known only inside the transaction."""

    type: str
    meta: bytes  # the client's meta members, as `,"profile":[...]}` or `}`
    rest: bytes  # the members after meta, as `,"status":"final"}` or `}`
    entries: tuple[Entry, ...]


class Drafting(Protocol):
    """What making a draft takes of a Server."""

    @property
    def validate(self) -> Callable[[Resource], None]: ...

    @property
    def index(self) -> Callable[[Resource], tuple[Entry, ...]]: ...


def draft(server: Drafting, resource: Resource, id: Any) -> Draft:
    """Validate, index and encode a resource that will be stored as `id`; its meta stays but for SERVER_META.

    `id` may be whatever a client's body says it is. Raises FhirError 400 or 422 with every issue found.
    """
    if not isinstance(id, str) or not ID.fullmatch(id):
        raise refuse(400, "value", f"{str(id)[:80]!r} is not an id: 1 to 64 letters, digits, '-' and '.'.")
    type_ = resource["resourceType"]
    rest = {key: value for key, value in resource.items() if key not in ("resourceType", "id", "meta")}
    whole = {"resourceType": type_, "id": id, **rest}
    meta: Resource = {}
    if "meta" in resource:
        given = resource["meta"]
        if isinstance(given, dict) and given:
            meta = {key: value for key, value in given.items() if key not in SERVER_META}
        if meta or not isinstance(given, dict) or not given:
            whole["meta"] = meta or given  # what is no object is left to the validator to refuse
    server.validate(whole)
    return Draft(type_, _tail(meta), _tail(rest), server.index(whole))


def without_server_meta(resource: Resource) -> Resource:
    """A resource without the members of meta that the server sets, whatever they are."""
    given = resource.get("meta")
    if not isinstance(given, dict) or given.keys().isdisjoint(SERVER_META):
        return resource
    meta = {key: value for key, value in given.items() if key not in SERVER_META}
    rest = {key: value for key, value in resource.items() if key != "meta"}
    return {**rest, "meta": meta} if meta else rest


def change(made: Draft, id: str, version: int, updated: int, method: str) -> Change:
    """The Change that writes a draft: its bytes begin with resourceType, id and meta."""
    head = f'{{"resourceType":"{made.type}","id":"{id}","meta":{{"versionId":"{version}","lastUpdated":'
    head += f'"{instant(updated)}"'
    return Change(made.type, id, version, updated, method, head.encode() + made.meta + made.rest, made.entries)


def _tail(members: Resource) -> bytes:
    try:
        return b"," + codec.encode(members)[1:] if members else b"}"
    except RecursionError:
        raise refuse(400, "structure", "The body is nested too deeply.") from None


def require_resource(resource: Resource | None, type: str) -> Resource:
    """The body of a write to `type`. Raises FhirError 400 if there is none or it is of another type."""
    if resource is None:
        raise refuse(400, "required", f"The body must be a {type} resource.")
    if resource.get("resourceType") != type:
        raise refuse(400, "invalid", f"The body is a {resource.get('resourceType')}, but the URL says {type}.", type)
    return resource
