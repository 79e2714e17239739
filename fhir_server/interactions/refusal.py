"""What a store cannot do now, as a refusal that a client can act on. https://hl7.org/fhir/R4/http.html#Status-Codes"""

from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.store.seam import Busy, Conflict, TooLarge

EXPECTED = (FhirError, Conflict, Busy, TooLarge, RecursionError)  # what `refusal` has words for


def refusal(error: Exception) -> FhirError:
    """The FhirError of one of the EXPECTED exceptions; any other is raised again."""
    match error:
        case FhirError():
            return error
        case Conflict():
            return refuse(409, "conflict", "Another request changed this resource at the same time: try again.")
        case Busy():
            return refuse(503, "throttled", str(error) or "The server is busy: try again shortly.", Retry_After="1")
        case TooLarge():
            return refuse(413, "too-costly", str(error) or "The transaction is too large: send smaller ones.")
        case RecursionError():
            return refuse(400, "structure", "The request is nested too deeply.")
    raise error
