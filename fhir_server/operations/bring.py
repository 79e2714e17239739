"""$import: NDJSON files into the store, in the background. https://github.com/smart-on-fhir/bulk-import/blob/master/import-manifest.md"""

from fhir_server.access import Caller
from fhir_server.export.import_status import kick_off_import
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server


async def bring(server: Server, caller: Caller, ask: Ask, inputs: Inputs) -> Answer:
    """202 with the address of the status. Raises FhirError 400, 403, 429; see export/import_status.py."""
    return await kick_off_import(server, caller, ask)
