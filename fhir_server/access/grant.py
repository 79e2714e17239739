"""What an access token stands for: who asks, through which client, with what rights, and why. https://hl7.org/fhir/smart-app-launch/"""

import msgspec


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """The checked content of an access token, ours or a trusted issuer's. Times are microseconds since 1970.

    Purpose, actors and study come from the client's registration or the issuer, never from a header.
    """

    client: str  # client_id
    scopes: tuple[str, ...]  # as granted
    id: str = ""  # of the authorization: what is revoked; callers of one authorization share page links
    user: str = ""  # who signed in: Patient/1, Practitioner/2, RelatedPerson/3; "" for a backend service
    patient: str = ""  # id of the patient in context; there is one wherever a scope begins with patient/
    encounter: str = ""
    role: str = ""  # of a backend service: one of ROLES
    purposes: tuple[str, ...] = ()  # v3-ActReason
    actors: tuple[str, ...] = ()  # references to the organizations on whose behalf
    study: str = ""  # id of the ResearchStudy of a study team
    emergency: str = ""  # the reason given for breaking the glass
    expires: int = 0


ROLES = ("ehr", "laboratory", "researcher", "study-team", "operator")
