"""DocumentReference/[id]/$convert-vcf: a stored VCF as a report and its variants. See docs/operations/convert.md

https://hl7.org/fhir/R4/documentreference.html
"""

import asyncio
import base64
import binascii
import io
import tempfile
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from fhir_server.access import Caller, transact
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import parse
from fhir_server.genomics.vcf.calls import GERMLINE, SOMATIC
from fhir_server.genomics.vcf.convert import Tally, Wish, convert
from fhir_server.genomics.vcf.read import NotVcf
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.draft import draft
from fhir_server.interactions.may import require
from fhir_server.interactions.profiles import require_profiles
from fhir_server.interactions.read import read
from fhir_server.interactions.update import apply
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server
from fhir_server.store.seam import Tx

TAKES = {
    "specimen": "reference",
    "order": "reference",
    "sample": "string",
    "assembly": "string",
    "source": "string",
    "every-filter": "boolean",
}
ASSEMBLIES = ("", "GRCh37", "GRCh38")
CHUNK = 200  # resources in one transaction


async def convert_vcf(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Parameters with the report and how many variants there are, once all is stored; what is stored already stays.

    Raises FhirError 404, 410 or 403 as a read and an update, 400 for a bad parameter, 422 for what is no VCF.
    """
    for type in ("Observation", "DiagnosticReport"):
        require(caller, type, "cu")
    document = codec.decode((await read(server, caller, Ask(type=ask.type, id=ask.id))).body)
    wish = _wish(server, document, given)
    content = await _content(server, caller, document)
    with tempfile.TemporaryFile() as out:
        try:
            tally = await asyncio.to_thread(convert, content, wish, out)
        except NotVcf as reason:
            raise refuse(422, "processing", f"The document cannot be converted: {reason}") from None
        out.seek(0)
        written = 0
        while lines := list(islice(out, CHUNK)):
            written += await _store(server, caller, list(map(codec.decode, lines)))
    return Answer(200, codec.encode({"resourceType": "Parameters", "parameter": list(_told(tally, written))}))


def _wish(server: Server, document: Resource, given: Inputs) -> Wish:
    if given.get("assembly", "") not in ASSEMBLIES:
        raise refuse(400, "value", "assembly must be GRCh37 or GRCh38.", "assembly")
    if given.get("source", "") not in ("", GERMLINE, SOMATIC):
        raise refuse(400, "value", f"source must be {GERMLINE} or {SOMATIC}.", "source")
    patient = _local(server, document.get("subject", {}).get("reference", ""), "Patient")
    if not patient:
        raise refuse(422, "required", "The document must name the patient of this server whose sample was read.",
                     "DocumentReference.subject")  # fmt: skip
    related = [one.get("reference", "") for one in document.get("context", {}).get("related", ())]
    specimens = filter(None, (_local(server, one, "Specimen") for one in [given.get("specimen", ""), *related]))
    order = _local(server, given.get("order", ""), "ServiceRequest")
    plain = {name: given.get(name, "") for name in ("sample", "assembly", "source")}
    return Wish(patient, next(specimens, ""), order, **plain, every_filter=given.get("every-filter", False))


def _local(server: Server, reference: str, type: str) -> str:
    target = parse(reference, server.settings.base)
    return f"{type}/{target.id}" if target.type == type else ""


async def _content(server: Server, caller: Caller, document: Resource) -> BinaryIO:
    """The file of the document: its own data, or the Binary that it names, which the caller must be able to read."""
    for attachment in (one.get("attachment", {}) for one in document.get("content", ())):
        data = attachment.get("data")
        target = parse(attachment.get("url", ""), server.settings.base)
        if target.type == "Binary":
            require(caller, "Binary", "r")
            data = codec.decode((await read(server, caller, Ask(type="Binary", id=target.id))).body).get("data")
        if data:
            try:
                return io.BytesIO(base64.b64decode(data))
            except (binascii.Error, ValueError):
                raise refuse(422, "value", "The data of the document are no base64.") from None
    raise refuse(422, "not-found", "The document holds no data, and names no Binary of this server.")


async def _store(server: Server, caller: Caller, resources: list[Resource]) -> int:
    """Write those that are not stored alike; returns how many."""
    await require_profiles(server, resources)
    drafts = [(draft(server, one, one["id"]), one["id"]) for one in resources]
    now = server.clock()

    async def work(tx: Tx) -> int:
        written = 0
        for made, id in drafts:
            before = await tx.read(made.type, id)
            if before is None or not before.body.endswith(made.meta + made.rest):
                await apply(tx, caller, made, id, now, Ask())
                written += 1
        return written

    return await transact(server, caller, work)


def _told(tally: Tally, written: int) -> Iterator[Resource]:
    yield {"name": "report", "valueReference": {"reference": tally.report}}
    yield {"name": "assembly", "valueCode": tally.assembly}
    yield {"name": "variants", "valueInteger": tally.variants}
    yield {"name": "written", "valueInteger": written}
    for reason, count in sorted(tally.left.items()):
        parts = [{"name": "reason", "valueString": reason}, {"name": "count", "valueInteger": count}]
        yield {"name": "left-out", "part": parts}
    for one in tally.malformed:
        yield {"name": "malformed", "valueString": f"Line {one.line}: {one.why}."}
