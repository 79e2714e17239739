"""What a request carries: read within bounds, unpacked and decoded. https://hl7.org/fhir/R4/http.html#mime-type"""

import asyncio
from typing import Any

from starlette.types import Receive

from fhir_server.fhir import codec
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.xml_read import read_xml
from fhir_server.interactions.ask import Pairs
from fhir_server.interactions.conditional import query_pairs
from fhir_server.rest.coding import decompressed, require_coding, too_long
from fhir_server.rest.negotiate import Headers

_LONG = 100_000  # bytes of XML beyond which they are read in a thread: a megabyte takes 0.2 s


async def read_body(receive: Receive, headers: Headers, limit: int) -> bytes:
    """The whole body, out of gzip. Raises FhirError 413 as soon as it exceeds `limit` bytes, 400 if it is cut off."""
    packed = b"content-encoding" in headers and require_coding(headers[b"content-encoding"])
    said = headers.get(b"content-length", b"0")
    if said.isdigit() and int(said[:20]) > limit:
        raise too_long(limit)
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise refuse(400, "incomplete", "The request ended before its body was complete.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise too_long(limit)
        if not message.get("more_body"):
            body = b"".join(chunks)
            return decompressed(body, limit) if packed else body


async def decoded(body: bytes, kind: str) -> Any:
    """The value of a body of a `kind` that `body_kind` gives: a resource, a JSON Patch, or plain JSON.

    Raises FhirError 400 for what cannot be decoded.
    """
    if kind == "json":
        return codec.read_resource(body)[0]
    if kind == "xml":
        return read_xml(body) if len(body) < _LONG else await asyncio.to_thread(read_xml, body)
    patch = codec.decode(body)
    codec.refuse_duplicate_keys(body, codec.encode(patch))
    return patch


def form_pairs(body: bytes) -> Pairs:
    """The parameters of an `application/x-www-form-urlencoded` body."""
    try:
        return query_pairs(body.decode())
    except UnicodeDecodeError:
        raise refuse(400, "invalid", "The form is not UTF-8.") from None
