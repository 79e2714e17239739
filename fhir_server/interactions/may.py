"""May this caller do such a thing at all? Decided by type and letter, before a store is asked. https://hl7.org/fhir/R4/security.html"""

from fhir_server.access import Caller
from fhir_server.fhir.outcome import FhirError, refuse

DOING = {"c": "create", "r": "read", "u": "update", "d": "delete", "s": "search"}


def immutable(type: str) -> FhirError:
    """The 405 of a type whose resources stay as they are."""
    text = f"No {type} is changed or removed: it may be created, read and searched for."
    return refuse(405, "not-supported", text, Allow="GET, POST")


def lasting(type: str) -> FhirError:
    """The 405 of a type whose resources are not deleted."""
    text = f"No {type} is deleted: what it says ends by a newer one, or by the status inactive."
    return refuse(405, "not-supported", text, Allow="GET, POST, PUT, PATCH")


def require(caller: Caller, type: str, letters: str) -> None:
    """Raise FhirError 403 unless each letter is permitted on some resource of `type` ("": of any type)."""
    if caller.free:
        return
    for letter in letters:
        if not caller.may(type, letter):
            text = f"Your scopes do not let you {DOING[letter]} {type or 'resources'}: ask for one that does."
            raise refuse(403, "forbidden", text, WWW_Authenticate='Bearer error="insufficient_scope"')
