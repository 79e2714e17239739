"""A patient is told when somebody broke the glass to see their record. https://hl7.org/fhir/R4/communication.html"""

import hashlib

from fhir_server.audit.event import Key
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import instant


def notice_id(key: Key) -> str:
    """The id of the notice: one for each patient, person and reason."""
    return hashlib.sha256(repr(("notice", key.patient, key.user, key.emergency)).encode()).hexdigest()[:40]


def notice_of(key: Key, at: int) -> Resource:
    """The Communication to the patient of an emergency access at a time in µs."""
    who = {"sender": {"reference": key.user}} if key.user.startswith(("Practitioner/", "PractitionerRole/")) else {}
    category = {"system": "http://terminology.hl7.org/CodeSystem/communication-category", "code": "notification"}
    reason = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG"}
    text = f"Your record was opened in an emergency, outside of who usually sees it. The reason given: {key.emergency}"
    return {
        "resourceType": "Communication",
        "status": "completed",
        "category": [{"coding": [category]}],
        "subject": {"reference": f"Patient/{key.patient}"},
        "recipient": [{"reference": f"Patient/{key.patient}"}],
        "sent": instant(at),
        **who,
        "reasonCode": [{"coding": [reason]}],
        "payload": [{"contentString": text}],
    }
