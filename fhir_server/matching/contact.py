"""Who is asked to look at a new candidate, as the patient's Consents choose. https://hl7.org/fhir/R4/task.html

To match a record is not to write to the person: being told of a trial has purposes of its own, one for the responsible
physician and one for the participant. With neither, nobody is asked, and the candidate waits to be found.
"""

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import instant
from fhir_server.matching.explain import DEVICE_ID
from fhir_server.matching.people import Person
from fhir_server.matching.values import OWN

PHYSICIAN, DIRECT = "contact-trial-physician", "contact-trial-direct"
KIND = f"{OWN}/CodeSystem/task-kind"
_BACK = {"text": "The candidate was taken back."}


def request(id: str, study: str, title: str, person: Person, now: int) -> Resource | None:
    """The Task that asks the physician, or else the patient, to look at a candidate; None if neither may be asked."""
    if person.permission.permits(PHYSICIAN, study):
        code, owner = "review-candidate", person.physician
        text = f"A trial fits this patient: {title}. Look at the reasons and speak about it with the patient."
    elif person.permission.permits(DIRECT, study):
        code, owner = "learn-of-trial", f"Patient/{person.id}"
        text = f"A trial fits you: {title}. Look at the reasons and speak about it with your physician."
    else:
        return None
    return {
        "resourceType": "Task",
        "id": id,
        "status": "requested",
        "intent": "proposal",
        "code": {"coding": [{"system": KIND, "code": code}]},
        "description": text,
        "focus": {"reference": f"ResearchSubject/{id}"},
        "for": {"reference": f"Patient/{person.id}"},
        "authoredOn": instant(now),
        "requester": {"reference": f"Device/{DEVICE_ID}"},
        **({"owner": {"reference": owner}} if owner else {}),
        "reasonReference": {"reference": f"GuidanceResponse/{id}"},
    }


def followed(wanted: Resource | None, stored: Resource | None) -> Resource | None:
    """What becomes of the stored Task when `wanted` should be there: only one that nobody has taken up is called back,
    and only one that was called back is asked again. None: nothing."""
    if stored is None:
        return wanted
    open_, called_back = stored.get("status") == "requested", stored.get("statusReason") == _BACK
    if wanted is None and open_:
        return {**stored, "status": "cancelled", "statusReason": _BACK}
    return wanted if wanted is not None and called_back else None
