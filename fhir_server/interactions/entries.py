"""Entries of batch and transaction bundles: requests going in, responses coming out. https://hl7.org/fhir/R4/bundle.html"""

import base64
import binascii
from typing import Any, NamedTuple
from urllib.parse import unquote

from fhir_server.fhir import bundle, codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.conditional import query_pairs
from fhir_server.interactions.draft import instant
from fhir_server.interactions.preconditions import etag
from fhir_server.interactions.route import arguments
from fhir_server.interactions.table import SHAPES, Interaction, Shapes
from fhir_server.server import Server

JSON_PATCH = "application/json-patch+json"


class Entry(NamedTuple):
    """A bundle's request: its place in the bundle, address, row of the table, and what it asks."""

    number: int
    full_url: str
    row: Interaction
    ask: Ask


def entries_of(server: Server, given: Resource) -> list[Any]:
    """The raw entries of a bundle. Raises FhirError 400 if they are not a list, 413 if there are too many."""
    raw = given.get("entry", [])
    if not isinstance(raw, list):
        raise refuse(400, "structure", "Bundle.entry must be an array.", "Bundle.entry")
    most = server.settings.max_bundle
    if len(raw) > most:
        raise refuse(413, "too-long", f"A bundle may have {most} entries, this one has {len(raw)}.", "Bundle.entry")
    return raw


def read_entry(server: Server, raw: Any, number: int, shapes: Shapes = SHAPES) -> Entry:
    """The request of an entry. Raises FhirError 400, 404 or 405 with the entry's place if it makes no sense."""
    at = f"Bundle.entry[{number}]"
    request = raw.get("request") if isinstance(raw, dict) else None
    if not isinstance(request, dict):
        raise refuse(400, "required", "An entry needs a request with method and url.", f"{at}.request")
    for name in _TEXTS:
        if not isinstance(request.get(name, ""), str):
            raise refuse(400, "structure", f"{name} must be a string.", f"{at}.request.{name}")
    if not isinstance(raw.get("fullUrl", ""), str):
        raise refuse(400, "structure", "fullUrl must be a string.", f"{at}.fullUrl")
    resource = raw.get("resource")
    if resource is not None and not isinstance(resource, dict):
        raise refuse(400, "structure", "The resource of an entry must be an object.", f"{at}.resource")
    try:
        path, _, query = request.get("url", "").removeprefix(server.settings.base).partition("?")
        row, parts = arguments(server, shapes, request.get("method", ""), unquote(path).strip("/"))
        pairs = tuple(pair for pair in query_pairs(query) if pair[0] not in ("_format", "_pretty"))
    except FhirError as error:
        raise refuse(error.status, error.issues[0].code, f"Entry {number}: {error}", at) from None
    if row.body == "resource" and resource is None:
        raise refuse(400, "required", f"Entry {number}: {row.method} needs a resource.", at)
    ask = Ask(
        **parts,
        query=pairs,
        resource=resource if row.body in ("resource", "operation") else None,
        patch=_patch(resource, at) if row.body == "patch" else None,
        if_match=request.get("ifMatch"),
        if_none_match=request.get("ifNoneMatch"),
        if_none_exist=request.get("ifNoneExist"),
        if_modified_since=request.get("ifModifiedSince"),
    )
    return Entry(number, raw.get("fullUrl", ""), row, ask)


_TEXTS = ("method", "url", "ifMatch", "ifNoneMatch", "ifNoneExist", "ifModifiedSince")


def _patch(resource: Resource | None, at: str) -> Any:
    """A patch travels in a bundle as a Binary, a FHIRPath Patch as itself. https://hl7.org/fhir/R4/http.html#jsonpatch-transaction"""
    if resource is not None and resource.get("resourceType") == "Parameters":
        return resource
    if resource is None or resource.get("resourceType") != "Binary" or resource.get("contentType") != JSON_PATCH:
        raise refuse(
            415,
            "not-supported",
            f"A PATCH entry needs Parameters, or a Binary of contentType {JSON_PATCH}.",
            f"{at}.resource",
        )
    try:
        return codec.decode(base64.b64decode(str(resource.get("data", "")), validate=True))
    except (binascii.Error, ValueError):
        raise refuse(400, "structure", "Binary.data is not base64.", f"{at}.resource.data") from None


def response_entry(server: Server, entry: Entry, answer: Answer, full: bool) -> bytes:
    """The entry that answers a request; resources written are returned only if they were asked for (`full`)."""
    response: dict[str, Any] = {"status": str(answer.status)}
    stored = answer.stored
    if stored is not None:
        if answer.written:
            response["location"] = f"{server.settings.base}/{stored.type}/{stored.id}/_history/{stored.version}"
        response["etag"] = etag(stored.version)
        response["lastModified"] = instant(stored.updated)
    body = b"" if answer.written and not full else answer.body
    address = f"{server.settings.base}/{stored.type}/{stored.id}" if body and stored is not None else ""
    return bundle.entry(address, body, {}, response)


def failed_entry(status: int, outcome: bytes) -> bytes:
    """The entry that answers a refused request of a batch."""
    return b'{"response":{"status":"%d","outcome":%s}}' % (status, outcome)
