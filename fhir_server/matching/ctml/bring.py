"""CTML documents into a store, and out of it. https://hl7.org/fhir/R4/http.html#transaction"""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from fhir_server.access import OPERATOR
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.references import parse
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.matching.advice import advice
from fhir_server.matching.criteria import group_references
from fhir_server.matching.ctml.trial import read_trial, say_trial
from fhir_server.matching.ctml.words import Unmapped
from fhir_server.matching.records import by_id, by_ids
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.store.seam import Query


class Brought(NamedTuple):
    """What became of a document: the id of its ResearchStudy, how many Groups, what is to be mended."""

    study: str
    groups: int
    warnings: tuple[str, ...]


async def bring(server: Server, document: Any) -> Brought:
    """Store a document's ResearchStudy and Groups, in one transaction; what was stored of it before is updated.

    Raises Refused with every key that cannot be mapped, and FhirError for what the server does not accept."""
    if not isinstance(document, dict):
        raise Unmapped("", "a document is an object with protocol_no and treatment_list")
    resources = read_trial(document, server.terminology)
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    bundle = codec.decode(codec.encode({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
    await batch_or_transaction(server, OPERATOR, Ask(resource=bundle))
    groups = {f"Group/{one['id']}": (one, 1) for one in resources[1:]}
    issues = advice(resources[0], groups, server.terminology)
    return Brought(resources[0]["id"], len(resources) - 1, tuple(issue.diagnostics for issue in issues))


async def documents(server: Server, ids: tuple[str, ...]) -> AsyncIterator[tuple[str, dict[str, Any] | Unmapped]]:
    """Each study (of these ids; of none: every one) with its CTML document, or why CTML cannot say it."""
    where = by_id(ids) if ids else EVERYTHING
    async for row in server.store.scan(Query(("ResearchStudy",), where)):
        study: Resource = codec.decode(row.body)
        try:
            yield row.id, say_trial(study, (await _groups(server, study)).get, server.terminology)
        except Unmapped as error:
            yield row.id, error


async def _groups(server: Server, study: Resource) -> dict[str, Resource]:
    """The Groups of a study, by reference, those that others refer to with them."""
    found: dict[str, Resource] = {}
    open_ = list(group_references(study))
    while open_:
        wanted = {text: parse(text, server.settings.base) for text in open_ if text not in found}
        ids = {text: target.id for text, target in wanted.items() if target.type == "Group"}
        rows = await by_ids(server, "Group", ids.values())
        new = {text: rows[id][0] for text, id in ids.items() if id in rows}
        found |= new
        open_ = [text for group in new.values() for text in group_references(group)]
    return found
