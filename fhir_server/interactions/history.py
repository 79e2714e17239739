"""Versions of an instance, a type or everything, newest first. https://hl7.org/fhir/R4/http.html#history"""

from urllib.parse import urlencode

from fhir_server.access import READ, Caller, permitted
from fhir_server.fhir.bundle import bundle, entry
from fhir_server.fhir.dates import bounds, instant
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask, Pairs
from fhir_server.interactions.pages import PARAMETER, Place, seal, unseal
from fhir_server.interactions.preconditions import etag
from fhir_server.interactions.versions import visible_versions
from fhir_server.interactions.visible import not_found
from fhir_server.server import Server
from fhir_server.store.seam import Stored


async def history(server: Server, caller: Caller, ask: Ask) -> Answer:
    """A Bundle of versions; `_since`, `_at` and `_count` are honoured; FhirError 404 for an instance that never was."""
    path = "/".join(part for part in (ask.type, ask.id, "_history") if part)
    query, after = ask.query, None
    token = dict(query).get(PARAMETER)
    if token is not None:
        place = unseal(server, caller, path, token)
        query, after = place.query, place.position
    since, at, count = _asked(server, query, ask.lenient or token is not None)
    letter = READ if ask.id else "s"
    permit = permitted(caller, (ask.type,) if ask.type else (), letter)
    page = await server.store.history(ask.type or None, ask.id or None, permit, since, after, max(count, 1), at)
    shown = await visible_versions(server, caller, page.rows, letter)
    if ask.id and not page.rows and after is None and since is None and at is None:
        raise not_found(ask.type, ask.id)
    base = server.settings.base
    used = [*((name, value) for name, value in query if name in ("_since", "_at", "_count")), *ask.form]
    links = [("self", f"{base}/{path}" + ("?" + urlencode(used) if used else ""))]
    if page.next is not None and count:
        sealed = seal(server, caller, Place(path, query, page.next, None, ask.lenient))
        links.append(("next", f"{base}/{path}?" + urlencode(((PARAMETER, sealed), *ask.form))))
    rows = shown if count else []
    return Answer(200, bundle("history", [_entry(base, row) for row in rows], links=links, total=page.total))


def _entry(base: str, row: Stored) -> bytes:
    url = row.type if row.method == "POST" else f"{row.type}/{row.id}"
    if row.deleted:
        status = "204"
    elif row.version == 1:
        status = "201"
    else:
        status = "200"
    response = {"status": status, "etag": etag(row.version), "lastModified": instant(row.updated)}
    return entry(f"{base}/{row.type}/{row.id}", row.body, {"method": row.method, "url": url}, response)


def _asked(server: Server, query: Pairs, lenient: bool) -> tuple[int | None, tuple[int, int] | None, int]:
    """`_since`, the time that `_at` names, and `_count`."""
    since, at, count = None, None, server.settings.page_size
    for name, value in query:
        if name in ("_since", "_at"):
            try:
                low, high = bounds(value)
            except ValueError as error:
                raise refuse(400, "value", f"{name}: {error}.") from None
            since, at = (low, at) if name == "_since" else (since, (low, high))
        elif name == "_count":
            if not (value.isascii() and value.isdigit()):
                raise refuse(400, "value", f"_count must be a whole number, not {value[:20]!r}.")
            count = min(int(value[:10]), server.settings.max_page_size)
        elif not lenient:
            raise refuse(400, "not-supported", f"A history has no parameter {name[:50]!r}: use _since, _at and _count.")
    return since, at, count
