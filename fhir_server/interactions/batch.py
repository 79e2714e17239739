"""A bundle of requests that stand or fall each on its own. https://hl7.org/fhir/R4/http.html#transaction"""

import asyncio

from fhir_server.access import Caller
from fhir_server.fhir import codec
from fhir_server.fhir.bundle import bundle
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import operation_outcome, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.entries import entries_of, failed_entry, read_entry, response_entry
from fhir_server.interactions.refusal import EXPECTED, refusal
from fhir_server.interactions.table import SHAPES, Shapes
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server


async def batch_or_transaction(server: Server, caller: Caller, ask: Ask, shapes: Shapes = SHAPES) -> Answer:
    """What a Bundle POSTed to the base asks for, by its type. Raises FhirError 400 for any other.

    `shapes`: where its entries are looked up, when there is more than the interactions (operations).
    """
    given = ask.resource or {}
    if given.get("resourceType") != "Bundle" or given.get("type") not in ("batch", "transaction"):
        raise refuse(400, "invalid", "POST to the base takes a Bundle of type batch or transaction.", "Bundle.type")
    perform = transaction if given["type"] == "transaction" else batch
    return await perform(server, caller, given, ask, shapes)


async def batch(server: Server, caller: Caller, given: Resource, ask: Ask, shapes: Shapes = SHAPES) -> Answer:
    """Every entry by itself, in order; a refusal becomes that entry's outcome."""
    answers = []
    for number, raw in enumerate(entries_of(given)):
        try:
            entry = read_entry(server, raw, number, shapes)
            answer = await entry.row.perform(server, caller, entry.ask)
            answers.append(response_entry(server, entry, answer, ask.full))
        except EXPECTED as error:
            said = refusal(error)
            answers.append(failed_entry(said.status, codec.encode(operation_outcome(said.issues))))
        await asyncio.sleep(0)
    return Answer(200, bundle("batch-response", answers))
