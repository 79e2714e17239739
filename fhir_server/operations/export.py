"""$export of the system, of patients and of a Group. https://hl7.org/fhir/uv/bulkdata/STU3/export.html"""

from fhir_server.access import Caller
from fhir_server.export.kick_off import kick_off
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.operations.inputs import Inputs, given
from fhir_server.server import Server


async def export(server: Server, caller: Caller, ask: Ask, inputs: Inputs) -> Answer:
    """202 with the address of the status. Raises FhirError 400, 403, 404, 429; see export/kick_off.py."""
    return await kick_off(server, caller, ask, given(ask, {}))


async def export_v4(server: Server, caller: Caller, ask: Ask, inputs: Inputs) -> Answer:
    """The same, with the manifest of the ballot of version 4. https://build.fhir.org/ig/HL7/bulk-data/export.html"""
    return await kick_off(server, caller, ask, given(ask, {}), ballot=True)
