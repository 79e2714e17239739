"""May this caller see or do this? Answered as predicates that the store evaluates."""

from fhir_server.access.caller import OPERATOR, Caller
from fhir_server.access.permit import restrict

__all__ = ["OPERATOR", "Caller", "restrict"]
