"""The FHIR endpoint: one HTTP request to one interaction and back. https://hl7.org/fhir/R4/http.html

It speaks ASGI itself and looks its path up in a table: a read costs half of what a chain of routes, Request and
Response objects would (docs/performance.md).
"""

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from starlette.types import Receive, Scope, Send

from fhir_server.access import OPERATOR, Caller
from fhir_server.audit.journal import Journal
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Ask, Pairs
from fhir_server.interactions.conditional import query_pairs
from fhir_server.interactions.custom import LOOK, rewired
from fhir_server.interactions.route import arguments
from fhir_server.interactions.table import Interaction, compiled
from fhir_server.rest.audited import accesses
from fhir_server.rest.binary import RAW, content, read_raw, written_raw
from fhir_server.rest.bodies import decoded, form_pairs, read_body
from fhir_server.rest.coding import WORTHWHILE
from fhir_server.rest.errors import frames, told
from fhir_server.rest.formats import dressed
from fhir_server.rest.negotiate import APART, JSON, PLAIN, Form, Headers, Preference, body_kind, preference, wanted
from fhir_server.rest.respond import Message, answered, refused
from fhir_server.server import LATELY, REQUESTED, Server

PREFIX = "/fhir"
log = logging.getLogger("fhir_server")
CallerOf = Callable[[Server, Headers, str], Awaitable[Caller]]  # the name of the interaction is the last argument
_NO_PREFERENCE = Preference()
# Headers that are arguments of interactions.
_CONDITIONS = (
    (b"if-match", "if_match"),
    (b"if-none-match", "if_none_match"),
    (b"if-none-exist", "if_none_exist"),
    (b"if-modified-since", "if_modified_since"),
    (b"accept", "accept"),
)


class FhirEndpoint:
    """The ASGI application under /fhir; `server` is set when the store is open, `journal` if accesses are audited.
    `caller_of` tells who asks, None: with open authorization everyone is the operator."""

    def __init__(self, table: tuple[Interaction, ...], caller_of: CallerOf | None = None) -> None:
        self.shapes = compiled(table)
        self.caller_of = caller_of
        self.server: Server | None = None
        self.journal: Journal | None = None
        self._looked = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = dict(scope["headers"])
        try:
            message = await (self.answer if self.journal is None else self.audited)(scope, receive, headers)
            if scope["form"] is not JSON or (len(message[2]) > WORTHWHILE and b"accept-encoding" in headers):
                message = await dressed(message, scope, self.base(), headers)
        except Exception as error:
            message = await dressed(refused(told(error, scope.get("request_id", ""))), scope, self.base(), headers)
        status, fields, body = message
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})

    def base(self) -> str:
        """Our own address; "" before the store is open."""
        return self.server.settings.base if self.server else ""

    async def current(self) -> Server | None:
        """The server; now and then it is asked whether its store was reindexed for other search parameters."""
        now = monotonic()
        if self.server is not None and now - self._looked > LOOK:
            self._looked = now
            fresh = await rewired(self.server)
            self.server = fresh if self.server is not None else None
        return self.server

    async def audited(self, scope: Scope, receive: Receive, headers: Headers) -> Message:
        """The answer or refusal, once it is journalled. Raises FhirError 503 if it cannot be: then nothing is told."""
        try:
            message = await self.answer(scope, receive, headers)
        except Exception as error:
            message = refused(told(error, scope.get("request_id", "")))
        if self.journal is not None and self.server is not None:
            try:
                await self.journal.write(*await accesses(self.server, self.shapes, scope, message))
            except Exception as error:
                id = scope.get("request_id", "")
                log.error("request %s: not journalled: %s\n%s", id, type(error).__name__, frames(error))
                text = "The access could not be journalled, so that its answer is withheld: try again shortly."
                raise refuse(503, "transient", text, Retry_After="5") from error
        return message

    async def answer(self, scope: Scope, receive: Receive, headers: Headers) -> Message:
        """Find the interaction, read what it needs, perform it; the scope is told the form of the answer."""
        server, method = await self.current(), scope["method"]
        if server is None:
            raise refuse(503, "transient", "The server is starting.", Retry_After="1")
        server.requested.put(REQUESTED, True, LATELY)
        query: Pairs = ()
        scope["form"] = JSON
        if scope["query_string"]:
            query = query_pairs(scope["query_string"].decode("latin-1"))
        path = scope["path"][len(PREFIX) :].strip("/")
        if (query or headers.get(b"accept") not in PLAIN) and path.rpartition("/")[2] not in APART:
            raw = read_raw(method, path, headers, dict(query).get("_format"))
            scope["form"] = RAW if raw else form_of(headers, query)
        row, given = arguments(server, self.shapes, "GET" if method == "HEAD" else method, path)
        scope["interaction"] = row.name
        scope["about"] = given
        caller = OPERATOR if self.caller_of is None else await self.caller_of(server, headers, row.name)
        scope["grant"] = caller.grant
        scope["names"] = caller.partly.names if caller.partly is not None else None
        body = b""
        if row.body:
            kind = "raw" if written_raw(given, row.body, headers) else body_kind(headers, row.body)
            body = await read_body(receive, headers, server.settings.max_body)
            if row.body == "form":
                query += form_pairs(body)
                scope["form"] = form_of(headers, query)
        async with server.admission.room(len(body)):
            ask: dict[str, Any] = {}
            if row.body and kind == "raw":
                ask["resource"] = content(body, headers, given.get("id"))
            elif row.body not in ("", "form") and (body or row.body != "operation"):  # an operation may do without one
                ask["patch" if row.body == "patch" else "resource"] = await decoded(body, kind)
            del body
            if query:
                ask["sent"] = scope["query_string"].decode("latin-1")
            prefer = preference(headers[b"prefer"]) if b"prefer" in headers else _NO_PREFERENCE
            if prefer is not _NO_PREFERENCE:
                ask.update(lenient=prefer.lenient, later=prefer.later, separate=prefer.separate)
                ask["full"] = prefer.returns == "representation"
            scope["ask"] = asked = Ask(**conditions(headers, query), **given, **ask)
            scope["answer"] = answer = await row.perform(server, caller, asked)
        if answer.type:
            scope["form"] = Form("json", (b"content-type", answer.type.encode()))
        return answered(answer, server.settings, prefer.returns)


def conditions(headers: Headers, query: Pairs) -> dict[str, Any]:
    """What of a request's headers and query is an argument of its interaction."""
    found: dict[str, Any] = {
        name: headers[header].decode("latin-1") for header, name in _CONDITIONS if header in headers
    }
    if query:
        found["form"] = tuple(pair for pair in query if pair[0] in ("_format", "_pretty"))
        found["query"] = tuple(pair for pair in query if pair[0] not in ("_format", "_pretty"))
    return found


def form_of(headers: Headers, query: Pairs) -> Form:
    """The form in which the answer is wanted. Raises FhirError 406 for one that is not written."""
    asked = dict(reversed(query)) if query else {}  # of a parameter given twice, the first counts
    return wanted(headers.get(b"accept"), asked.get("_format"), asked.get("_pretty"))
