"""The files of exports: streamed, by ranges or in gzip, to the client that asked for them. https://www.rfc-editor.org/rfc/rfc9110#name-range-requests"""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator
from typing import BinaryIO

from starlette.types import Receive, Scope, Send

from fhir_server.access import OPERATOR
from fhir_server.audit.record import access
from fhir_server.export.download import Download, download
from fhir_server.export.status import NDJSON
from fhir_server.fhir.outcome import refuse
from fhir_server.rest.coding import takes_gzip
from fhir_server.rest.endpoint import FhirEndpoint
from fhir_server.rest.errors import told
from fhir_server.rest.negotiate import Headers
from fhir_server.rest.respond import SECURITY, refused
from fhir_server.server import Server

FILE = re.compile(r"/fhir/_export/([^/]+)/([^/]+)")
PIECE = 256 * 1024  # bytes read and sent at a time
_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)

Fields = list[tuple[bytes, bytes]]


class Files:
    """The ASGI application of the addresses that FILE matches; it knows callers and journal from the endpoint."""

    def __init__(self, endpoint: FhirEndpoint) -> None:
        self.endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["interaction"] = "export-file"
        headers: Headers = dict(scope["headers"])
        try:
            found = await self._audited(scope, headers)
            if found.address:  # it knows no tokens: clients leave theirs out where another host is
                fields = [*SECURITY, (b"location", found.address.encode())]
                await send({"type": "http.response.start", "status": 307, "headers": fields})
                await send({"type": "http.response.body", "body": b""})
                return
            with found.path.open("rb") as file:
                await _send(found, file, scope["method"], headers, send)
        except Exception as error:
            status, fields, body = refused(told(error, scope.get("request_id", "")))
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})

    async def _audited(self, scope: Scope, headers: Headers) -> Download:
        """The file, once it is journalled that it was given out, or refused."""
        server = await self.endpoint.current()
        if server is None:
            raise refuse(503, "transient", "The server is starting.", Retry_After="1")
        try:
            found = await self._found(server, scope, headers)
        except Exception as error:
            await self._journal(server, scope, told(error, scope.get("request_id", "")).status, None)
            raise
        await self._journal(server, scope, 200, found)
        return found

    async def _found(self, server: Server, scope: Scope, headers: Headers) -> Download:
        if scope["method"] not in ("GET", "HEAD"):
            raise refuse(405, "not-supported", "A file is fetched by GET.", Allow="GET, HEAD")
        caller_of = self.endpoint.caller_of
        caller = OPERATOR if caller_of is None else await caller_of(server, headers, "export-file")
        scope["grant"] = caller.grant
        parts = FILE.fullmatch(scope["path"])
        assert parts is not None
        return await download(server, caller, parts[1], parts[2], scope["method"])

    async def _journal(self, server: Server, scope: Scope, status: int, found: Download | None) -> None:
        if self.endpoint.journal is None:
            return
        client = scope.get("client")
        type, patients = (found.file.type, sorted(found.patients)) if found else ("", [])
        one = access(
            server.clock(), scope.get("request_id", ""), client[0] if client else "", scope.get("grant"), status,
            "export-file", type, patients=patients,
        )  # fmt: skip
        await self.endpoint.journal.write(one)


async def _send(found: Download, file: BinaryIO, method: str, headers: Headers, send: Send) -> None:
    etag = b'"%s-%s"' % (found.path.parent.name.encode(), found.file.name.partition(".")[0].encode())
    size = found.file.size
    fields: Fields = [*SECURITY, (b"content-type", NDJSON.encode()), (b"accept-ranges", b"bytes"), (b"etag", etag)]
    fields.append((b"vary", b"accept-encoding"))
    span = _span(headers, size, etag)
    if span is None and headers.get(b"if-none-match") == etag:
        await send({"type": "http.response.start", "status": 304, "headers": fields})
        await send({"type": "http.response.body", "body": b""})
        return
    status, start, end = 200, 0, size
    packed = span is None and takes_gzip(headers.get(b"accept-encoding", b""))
    if span is not None:
        status, (start, end) = 206, span
        fields.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)))
    if packed:
        fields.append((b"content-encoding", b"gzip"))
    else:
        fields.append((b"content-length", b"%d" % (end - start)))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    if method != "HEAD":
        file.seek(start)
        async for piece in _packed(file, end - start) if packed else _plain(file, end - start):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _span(headers: Headers, size: int, etag: bytes) -> tuple[int, int] | None:
    """The range [start, end) that is asked for; None for the whole. Raises FhirError 416 for one beyond the end."""
    asked = _RANGE.fullmatch(headers.get(b"range", b"").strip())
    if asked is None or headers.get(b"if-range", etag) != etag:
        return None
    first, last = asked.groups()
    if not first and not last:
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        text = f"The file has {size} bytes."
        raise refuse(416, "invalid", text, Content_Range=f"bytes */{size}")
    return start, end


async def _plain(file: BinaryIO, left: int) -> AsyncIterator[bytes]:
    while left > 0:
        piece = await asyncio.to_thread(file.read, min(PIECE, left))
        if not piece:
            return
        left -= len(piece)
        yield piece


async def _packed(file: BinaryIO, left: int) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    async for piece in _plain(file, left):
        packed = await asyncio.to_thread(packer.compress, piece)
        if packed:
            yield packed
    yield packer.flush()
