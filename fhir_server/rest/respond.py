"""Answers as ASGI messages. https://hl7.org/fhir/R4/http.html#general"""

from email.utils import formatdate
from functools import lru_cache

from fhir_server.fhir.codec import encode
from fhir_server.fhir.outcome import FhirError, Issue, operation_outcome
from fhir_server.interactions.ask import Answer
from fhir_server.rest.errors import outcome_body
from fhir_server.settings import Settings

Message = tuple[int, list[tuple[bytes, bytes]], bytes]  # status, headers, body

FHIR_JSON = (b"content-type", b"application/fhir+json; charset=utf-8")
# Patient data must not stay in caches and must not be taken for anything but what it says it is.
SECURITY = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


def answered(answer: Answer, settings: Settings, returns: str) -> Message:
    """An interaction's answer; `returns` is the preference for what a write gives back."""
    status, body, stored, written, more, type, _ = answer
    headers = list(SECURITY)
    if more:
        headers += [(name.lower().encode(), value.encode()) for name, value in more]
    if stored is not None:
        headers.append((b"etag", b'W/"%d"' % stored.version))
        headers.append((b"last-modified", _http_date(stored.updated // 1_000_000)))
        if written:
            address = f"{settings.base}/{stored.type}/{stored.id}/_history/{stored.version}"
            headers.append((b"location", address.encode()))
            if returns == "minimal":
                body = b""
            elif returns == "OperationOutcome":
                text = f"{stored.type}/{stored.id} is now at version {stored.version}."
                body = encode(operation_outcome([Issue("informational", text, severity="information")]))
    if status in (204, 304):
        return status, headers, b""
    if body:
        headers.append((b"content-type", type.encode()) if type else FHIR_JSON)
    headers.append((b"content-length", b"%d" % len(body)))
    return status, headers, body


def refused(error: FhirError) -> Message:
    """The OperationOutcome of a refusal."""
    body = outcome_body(error)
    more = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return error.status, [*SECURITY, *more, FHIR_JSON, (b"content-length", b"%d" % len(body))], body


@lru_cache(maxsize=4096)
def _http_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()
