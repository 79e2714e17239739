"""$viewdefinition-run: a ViewDefinition over what the caller may read. https://sql-on-fhir.org/ig/OperationDefinition-ViewDefinitionRun.html"""

import io
from typing import Any

from msgspec.structs import replace

from fhir_server.access import READ, Caller
from fhir_server.export.group import members, read_group
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import parse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.may import require
from fhir_server.interactions.visible import not_found
from fhir_server.operations.inputs import Inputs, inputs
from fhir_server.server import Server
from fhir_server.views.run import Found, Wish, run
from fhir_server.views.selects import Row
from fhir_server.views.view import View, view_of
from fhir_server.views.write import MIME, encoded, sink

TAKES = {
    "viewResource": "object",
    "viewReference": "reference",
    "_format": "string",
    "header": "boolean",
    "patient": "reference",
    "group": "reference*",
    "resource": "object*",
    "source": "string",
    "_limit": "count",
    "_since": "date",
}
PIECE = 2000  # rows encoded at a time
# What an Accept header, or _format, may say instead of the short names.
TYPES = {
    **{type.partition(";")[0]: kind for kind, type in MIME.items()},
    "application/ndjson": "ndjson",
    "application/fhir+json": "json",
    "application/octet-stream": "parquet",
}


async def viewdefinition_run(server: Server, caller: Caller, ask: Ask, _: Inputs) -> Answer:
    """The table in the format asked for. Raises FhirError 400 for parameters, 403, 404, 422 for the view."""
    given = inputs(_unwrapped(ask), TAKES)
    for name in ("source", "viewReference"):
        if name in given:
            text = "R4 has no resource type ViewDefinition, so that none is stored here: give the view as viewResource."
            raise refuse(400, "not-supported", text if name == "viewReference" else "There is no other source.", name)
    if "viewResource" not in given:
        text = "Give the ViewDefinition: as the body, or as the parameter viewResource of a Parameters resource."
        raise refuse(400, "required", text, "viewResource")
    kind = _format(given.get("_format") or dict(ask.form).get("_format"), ask.accept)
    view = view_of(server.definitions, given["viewResource"], server.settings.base)
    if "resource" in given:
        found = Found(_of_given(server, view, given["resource"], given.get("_limit")), set())
    else:
        require(caller, view.type, READ + "s")
        since = given["_since"][0] if "_since" in given else None
        wish = Wish(await _patients(server, caller, given), since, given.get("_limit"))
        found = await run(server, caller, view, wish)
    file = io.BytesIO()
    out = sink(kind, view.columns, file, given.get("header", True))
    for start in range(0, len(found.rows), PIECE):
        out.add(encoded(kind, view.columns, found.rows[start : start + PIECE]))
    out.end()
    return Answer(200, file.getvalue(), type=MIME[kind], patients=tuple(sorted(found.patients)))


def _unwrapped(ask: Ask) -> Ask:
    """A body that is the view itself, as the parameter that it is."""
    body = ask.resource
    if body is None or body.get("resourceType") != "ViewDefinition":
        return ask
    wrapped: Resource = {"resourceType": "Parameters", "parameter": [{"name": "viewResource", "resource": body}]}
    return replace(ask, resource=wrapped)


def _format(said: str | None, accept: str | None) -> str:
    """The format by its name or MIME type; that of the first type in Accept that is one, JSON if none is named."""
    if said is not None:
        kind = TYPES.get(said.partition(";")[0].strip().lower(), said.lower())
        if kind not in MIME:
            text = f"Format {said[:40]!r} is not supported. Supported formats: {', '.join(MIME)}."
            raise refuse(400, "not-supported", text, "_format")
        return kind
    ranges = [text.partition(";")[0].strip().lower() for text in (accept or "").split(",")[:100]]
    return next((TYPES[one] for one in ranges if one in TYPES), "json")


def _of_given(server: Server, view: View, resources: list[dict[str, Any]], limit: int | None) -> list[Row]:
    """The rows of resources that came with the request. Raises FhirError 422 if they are too many."""
    most, found = server.settings.view_rows, list[Row]()
    for one in resources:
        found += view.rows(one)
        if limit is not None and len(found) >= limit:
            break
        if len(found) > most:
            raise refuse(422, "too-costly", f"The view has more than {most:,} rows: give _limit.")
    return found[:limit]


async def _patients(server: Server, caller: Caller, given: Inputs) -> list[str] | None:
    """Whom the view is to be about; None: everyone. Raises FhirError 404 for what the caller may not read."""
    named: list[str] | None = None
    if "patient" in given:
        id = _id(server, given["patient"], "Patient")
        stored = await server.store.read("Patient", id, caller.permit("Patient", READ))
        if stored is None or stored.deleted:
            raise not_found("Patient", id)
        named = [id]
    if "group" not in given:
        return named
    found: dict[str, None] = {}
    for text in given["group"]:
        group = await read_group(server, caller, _id(server, text, "Group"))
        found.update(dict.fromkeys(await members(server, caller, group)))
    return [id for id in (named or found) if id in found]


def _id(server: Server, text: str, type: str) -> str:
    found = parse(text if "/" in text else f"{type}/{text}", server.settings.base)
    if found.type != type:
        raise refuse(400, "value", f"{text[:80]!r} is no {type} of this server.", type.lower())
    return found.id
