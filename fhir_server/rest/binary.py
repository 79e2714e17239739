"""Binary in its own content type, both ways. https://hl7.org/fhir/R4/binary.html#rest

What is stored may be anything, so it leaves as a download that no browser runs or guesses the type of: an attachment,
nosniff, sandboxed. Who asks for a type of FHIR, or says nothing, gets the resource as of any other type.
"""

import re
from base64 import b64decode, b64encode
from typing import Any

from fhir_server.fhir.codec import decode
from fhir_server.fhir.outcome import refuse
from fhir_server.rest.negotiate import READ, WRITTEN, Form, Headers, covers, media_ranges
from fhir_server.rest.respond import Message

RAW = Form("raw", (b"content-type", b"application/octet-stream"))
SAFE = (
    (b"content-disposition", b"attachment"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
)
_READ = re.compile(r"Binary/[^/]+(/_history/[^/]+)?")
_TYPE = re.compile(r"[\w.+!#$&^-]+/[\w.+!#$&^-]+( *; *[\w.+-]+=(?:[\w.+-]+|\"[ !#-[\]-~]*\"))*", re.ASCII)
_MOST = 200  # characters of a content type


def read_raw(method: str, path: str, headers: Headers, format: str | None) -> bool:
    """Whether a request is a read of a Binary that asks for another type before any of FHIR's."""
    if method not in ("GET", "HEAD") or format is not None or not _READ.fullmatch(path):
        return False
    ranges = [one for one in media_ranges(headers.get(b"accept", b"").decode("latin-1")) if one[0] != "*/*"]
    ours = max((quality for range, quality in ranges if any(covers(range, mime) > 2 for mime in WRITTEN)), default=0.0)
    return any(quality > ours for _, quality in ranges)


def raw(message: Message, accept: str) -> Message | None:
    """The answer to a read of a Binary as its own bytes; None if Accept does not name that type."""
    status, fields, body = message
    resource = decode(body)
    kind = resource.get("contentType", "")
    if len(kind) > _MOST or not _TYPE.fullmatch(kind):
        kind = "application/octet-stream"
    mime = kind.partition(";")[0].strip().lower()
    exact, quality = max((covers(range, mime), quality) for range, quality in media_ranges(accept))
    if not exact or not quality:
        return None
    content = b64decode(resource.get("data", ""))
    kept = [field for field in fields if field[0] not in (b"content-type", b"content-length")]
    context = resource.get("securityContext", {}).get("reference", "")
    if re.fullmatch(r"[!-~]{1,500}", context):
        kept.append((b"x-security-context", context.encode()))
    length = (b"content-length", b"%d" % len(content))
    return status, [*kept, *SAFE, (b"content-type", kind.encode()), length], content


def written_raw(given: dict[str, Any], body: str, headers: Headers) -> bool:
    """Whether the body of a request is the content of a Binary: to be written, and of no type of FHIR."""
    kind = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    return given.get("type") == "Binary" and body == "resource" and kind != "" and kind not in READ


def content(body: bytes, headers: Headers, id: str | None) -> dict[str, Any]:
    """The Binary of a raw body. Raises FhirError 415 for a content type that is none."""
    kind = headers[b"content-type"].decode("latin-1").strip()
    if len(kind) > _MOST or not _TYPE.fullmatch(kind):
        raise refuse(415, "not-supported", f"Content-Type {kind[:50]!r} is not a MIME type.")
    made: dict[str, Any] = {"resourceType": "Binary", "contentType": kind}
    if id:
        made["id"] = id
    if b"x-security-context" in headers:
        made["securityContext"] = {"reference": headers[b"x-security-context"].decode("latin-1")}
    return {**made, "data": b64encode(body).decode()} if body else made
