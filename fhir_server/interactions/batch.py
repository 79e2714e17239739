"""A bundle of requests that stand or fall each on its own. https://hl7.org/fhir/R4/http.html#transaction"""

import asyncio
from collections.abc import Callable

from fhir_server.access import Caller
from fhir_server.fhir import codec
from fhir_server.fhir.bundle import bundle
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import operation_outcome, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.entries import entries_of, failed_entry, read_entry, response_entry
from fhir_server.interactions.refusal import EXPECTED, refusal
from fhir_server.interactions.table import SHAPES, Shapes
from fhir_server.interactions.transaction import Also, transaction
from fhir_server.server import Server

MOST_ANSWERED = 100_000_000  # bytes of one response: 10,000 searches of 1,000 resources would be 10 GB


async def batch_or_transaction(
    server: Server,
    caller: Caller,
    ask: Ask,
    shapes: Shapes = SHAPES,
    also: Also | None = None,
    count: Callable[[int], None] = lambda done: None,
) -> Answer:
    """What a Bundle POSTed to the base asks for, by its type. Raises FhirError 400 for any other.

    `shapes`: where its entries are looked up, when there is more than the interactions (operations). `also` is
    performed within a transaction (transaction.py), `count` told how many entries of a batch are done.
    """
    given = require_bundle(ask.resource)
    if given["type"] == "transaction":
        return await transaction(server, caller, given, ask, shapes, also)
    return await batch(server, caller, given, ask, shapes, count)


def require_bundle(given: Resource | None) -> Resource:
    """A Bundle of requests. Raises FhirError 400 if it is anything else."""
    if given is None or given.get("resourceType") != "Bundle" or given.get("type") not in ("batch", "transaction"):
        raise refuse(400, "invalid", "POST to the base takes a Bundle of type batch or transaction.", "Bundle.type")
    return given


async def batch(
    server: Server, caller: Caller, given: Resource, ask: Ask, shapes: Shapes, count: Callable[[int], None]
) -> Answer:
    """Every entry by itself, in order; a refusal becomes that entry's outcome."""
    answers: list[bytes] = []
    size = 0
    for number, raw in enumerate(entries_of(server, given)):
        try:
            if size > MOST_ANSWERED:
                raise refuse(413, "too-costly", f"Entry {number} was not performed: the response is too large already.")
            entry = read_entry(server, raw, number, shapes)
            answer = await entry.row.perform(server, caller, entry.ask)
            answers.append(response_entry(server, entry, answer, ask.full))
        except EXPECTED as error:
            said = refusal(error)
            answers.append(failed_entry(said.status, codec.encode(operation_outcome(said.issues))))
        size += len(answers[-1])
        count(number + 1)
        await asyncio.sleep(0)
    return Answer(200, bundle("batch-response", answers))
