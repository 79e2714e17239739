"""May this caller see or do this? Answered as predicates that the store evaluates."""

from fhir_server.access.caller import OPERATOR, Caller
from fhir_server.access.permit import READ, permitted, restrict, shown
from fhir_server.access.write import forbidden, transact

__all__ = ["OPERATOR", "READ", "Caller", "forbidden", "permitted", "restrict", "shown", "transact"]
