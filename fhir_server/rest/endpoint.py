"""The FHIR endpoint: one HTTP request to one interaction and back. https://hl7.org/fhir/R4/http.html

It speaks ASGI itself and looks its path up in a table: a read costs half of what a chain of routes, Request and
Response objects would (docs/performance.md).
"""

from typing import Any

from starlette.types import Receive, Scope, Send

from fhir_server.access import OPERATOR, Caller
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Ask, Pairs
from fhir_server.interactions.conditional import query_pairs
from fhir_server.interactions.route import arguments
from fhir_server.interactions.table import Interaction, compiled
from fhir_server.rest.errors import told
from fhir_server.rest.negotiate import Headers, Preference, preference, require_acceptable, require_content_type
from fhir_server.rest.respond import Message, answered, refused
from fhir_server.server import Server

PREFIX = "/fhir"
_NO_PREFERENCE = Preference()
# Headers that are arguments of interactions.
_CONDITIONS = (
    (b"if-match", "if_match"),
    (b"if-none-match", "if_none_match"),
    (b"if-none-exist", "if_none_exist"),
    (b"if-modified-since", "if_modified_since"),
)


class FhirEndpoint:
    """The ASGI application under /fhir; `server` is set when the store is open."""

    def __init__(self, table: tuple[Interaction, ...]) -> None:
        self.shapes = compiled(table)
        self.server: Server | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, headers, body = await self.answer(scope, receive)
        except Exception as error:
            status, headers, body = refused(told(error, scope.get("request_id", "")))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})

    async def answer(self, scope: Scope, receive: Receive) -> Message:
        """Find the interaction, read what it needs, perform it."""
        server, method = self.server, scope["method"]
        if server is None:
            raise refuse(503, "transient", "The server is starting.", Retry_After="1")
        path = scope["path"][len(PREFIX) :].strip("/")
        row, given = arguments(server, self.shapes, "GET" if method == "HEAD" else method, path)
        scope["interaction"] = row.name
        headers: Headers = dict(scope["headers"])
        query: Pairs = ()
        format = None
        if scope["query_string"]:
            query = query_pairs(scope["query_string"].decode("latin-1"))
            format = next((value for name, value in query if name == "_format"), None)
        prefer = preference(headers[b"prefer"]) if b"prefer" in headers else _NO_PREFERENCE
        ask: dict[str, Any] = {}
        if row.body:
            require_content_type(headers, row.body)
            body = await read_body(receive, headers, server.settings.max_body)
            if row.body == "form":
                query += form_pairs(body)
                format = next((value for name, value in query if name == "_format"), format)
            elif row.body == "patch":
                ask["patch"] = codec.decode(body)
                codec.refuse_duplicate_keys(body, codec.encode(ask["patch"]))
            else:
                ask["resource"], _ = codec.read_resource(body)
        require_acceptable(headers, format)
        for header, name in _CONDITIONS:
            if header in headers:
                ask[name] = headers[header].decode("latin-1")
        if query:
            query = tuple(pair for pair in query if pair[0] not in ("_format", "_pretty"))
        if prefer is not _NO_PREFERENCE:
            ask.update(lenient=prefer.lenient, full=prefer.returns == "representation")
        answer = await row.perform(server, caller_of(scope), Ask(query=query, **given, **ask))
        return answered(answer, server.settings, prefer.returns)


def caller_of(scope: Scope) -> Caller:
    """Who asks: with open authorization, always the operator."""
    return OPERATOR


async def read_body(receive: Receive, headers: Headers, limit: int) -> bytes:
    """The whole body. Raises FhirError 413 as soon as it exceeds `limit` bytes, 400 if the client goes away."""
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
            return b"".join(chunks)


def too_long(limit: int) -> Exception:
    """The 413 of a body over the limit; the connection is closed, for the rest of the body will not be read."""
    return refuse(413, "too-long", f"The body is larger than {limit} bytes.", Connection="close")


def form_pairs(body: bytes) -> Pairs:
    """The parameters of an `application/x-www-form-urlencoded` body."""
    try:
        return query_pairs(body.decode())
    except UnicodeDecodeError:
        raise refuse(400, "invalid", "The form is not UTF-8.") from None
