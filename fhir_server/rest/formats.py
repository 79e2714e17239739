"""An answer in the form and coding that the client asked for. https://hl7.org/fhir/R4/http.html#mime-type

Plain JSON does not come here: it leaves the server as it is stored.
"""

import asyncio

import msgspec
from starlette.types import Scope

from fhir_server.fhir.codec import decode
from fhir_server.fhir.xml_write import write_xml
from fhir_server.rest.binary import RAW, raw
from fhir_server.rest.coding import WORTHWHILE, compressed, takes_gzip
from fhir_server.rest.html import SECURITY, page
from fhir_server.rest.negotiate import JSON, Form, Headers, wanted
from fhir_server.rest.respond import Message

_LONG = 100_000  # bytes beyond which a form or coding is made in a thread, while other requests go on


async def dressed(message: Message, scope: Scope, base: str, headers: Headers) -> Message:
    """The message in the form that the scope names, in gzip if the client takes that and it is worth it."""
    status, fields, body = message
    form: Form = scope.get("form", JSON)
    if not body:
        return message
    if form is RAW:
        found = raw(message, headers[b"accept"].decode("latin-1")) if status == 200 else None
        if found is not None:
            return found
        form = wanted(headers[b"accept"], None, None) if status == 200 else JSON
    if form is not JSON:
        query = scope["query_string"].decode("latin-1")
        if len(body) > _LONG:
            body = await asyncio.to_thread(_rendered, body, form, base, query)
        else:
            body = _rendered(body, form, base, query)
    changed = [form.type, *(SECURITY if form.kind == "html" else ())]
    if len(body) > WORTHWHILE and takes_gzip(headers.get(b"accept-encoding", b"")):
        body = await asyncio.to_thread(compressed, body) if len(body) > _LONG else compressed(body)
        changed.append((b"content-encoding", b"gzip"))
    kept = [field for field in fields if field[0] not in (b"content-type", b"content-length")]
    return status, [*kept, *changed, (b"content-length", b"%d" % len(body))], body


def _rendered(body: bytes, form: Form, base: str, query: str) -> bytes:
    if form.kind == "html":
        return page(body, base, query)
    if form.kind == "xml":
        return write_xml(decode(body), form.pretty)
    return msgspec.json.format(body, indent=2) + b"\n" if form.pretty else body
