"""Parts of a resource: `_summary` and `_elements`. https://hl7.org/fhir/R4/search.html#summary"""

from collections.abc import Iterable

from fhir_server.fhir import codec
from fhir_server.fhir.definitions import Definitions
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Ask
from fhir_server.server import Server

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
SUMMARIES = ("true", "text", "data", "count", "false")
_ALWAYS = frozenset({"resourceType", "id", "meta"})


def narrowed(server: Server, ask: Ask, body: bytes) -> bytes:
    """The body of a read as its `_summary` or `_elements` asks. Raises FhirError 400 for an unknown `_summary`."""
    asked = dict(ask.query)
    summary, elements = asked.get("_summary"), asked.get("_elements")
    if summary is not None and (summary not in SUMMARIES or summary == "count"):
        raise refuse(400, "value", f"_summary of a read must be true, text, data or false, not {summary[:20]!r}.")
    return subset(server.definitions, body, summary, elements.split(",") if elements else ())


def subset(definitions: Definitions, body: bytes, summary: str | None, elements: Iterable[str]) -> bytes:
    """The resource with the asked and the mandatory elements, tagged SUBSETTED; unchanged if all is asked."""
    wanted = {name.partition(".")[0] for name in elements if name}
    if not wanted and summary in (None, "false", "count"):
        return body
    resource = codec.decode(body)
    members = definitions.structures[resource["resourceType"]].elements
    mandatory = {name for name, element in members.items() if element.min > 0}
    if wanted:  # `_elements` says more exactly what `_summary` only sketches
        keep = wanted | mandatory | {name for name, element in members.items() if element.choice in wanted}
    elif summary == "text":
        keep = {"text"} | mandatory
    elif summary == "data":
        keep = set(members) - {"text"}
    else:
        keep = {name for name, element in members.items() if element.summary} | mandatory
    keep |= _ALWAYS
    kept = {key: value for key, value in resource.items() if key.removeprefix("_") in keep}
    meta = kept.get("meta", {})
    kept["meta"] = {**meta, "tag": [*meta.get("tag", ()), SUBSETTED]}
    return codec.encode(kept)
