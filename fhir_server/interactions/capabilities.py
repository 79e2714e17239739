"""What this server can do. https://hl7.org/fhir/R4/http.html#capabilities"""

from fhir_server.access import Caller
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.server import Server


async def capabilities(server: Server, caller: Caller, ask: Ask) -> Answer:
    """The CapabilityStatement, the same for every caller."""
    return Answer(200, server.capabilities())
