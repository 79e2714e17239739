"""What a match makes of the stored candidates: ResearchSubject with its reasons. https://hl7.org/fhir/R4/researchsubject.html

The matcher moves only what it wrote itself: a ResearchSubject whose current version its Provenance names. Whatever a
person wrote, or deleted, stays as it is.
"""

from hashlib import sha256
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.matching.contact import followed
from fhir_server.matching.explain import provenance
from fhir_server.matching.records import Held, Versioned

PREFIX = "match-"


class Wanted(NamedTuple):
    """What should be stored for a pair: the status, the reasons, and what they rest on."""

    study: str
    patient: str
    status: str  # candidate, potential-candidate, ineligible or withdrawn
    guidance: Resource
    sources: tuple[str, ...]  # versioned references
    consents: tuple[str, ...]
    task: Resource | None = None  # who is asked to look at it

    @property
    def id(self) -> str:
        """The id of the pair's three resources."""
        return pair_id(self.study, self.patient)

    @property
    def positive(self) -> bool:
        """Whether it is a candidate of either kind."""
        return self.status in ("candidate", "potential-candidate")


class Write(NamedTuple):
    """A resource to write as the version after `seen` (0: it has never existed)."""

    resource: Resource
    seen: int


def pair_id(study: str, patient: str) -> str:
    """One id for each pair of study and patient, the same in every run."""
    return f"{PREFIX}{sha256(f'{study}/{patient}'.encode()).hexdigest()[:40]}"


def writes(wanted: Wanted, held: Held, now: int) -> list[Write]:
    """What must be written for the store to hold what is wanted; nothing if it does already."""
    subject = {
        "resourceType": "ResearchSubject",
        "id": wanted.id,
        "status": wanted.status,
        "study": {"reference": f"ResearchStudy/{wanted.study}"},
        "individual": {"reference": f"Patient/{wanted.patient}"},
    }
    plan: list[Write] = []
    targets = []
    for resource, stored in ((subject, held.subject), (wanted.guidance, held.guidance)):
        seen = stored[1] if stored else 0
        if stored is None or _content(resource) != _content(stored[0]):
            plan.append(Write(resource, seen))
            seen += 1
        targets.append(f"{resource['resourceType']}/{wanted.id}/_history/{seen}")
    made = provenance(wanted.id, targets, wanted.sources, wanted.consents, now)
    if plan or held.provenance is None or _content(made) != _content(held.provenance[0]):
        plan.append(Write(made, held.provenance[1] if held.provenance else 0))
    task = followed(wanted.task, held.task[0] if held.task else None)
    if task is not None:
        plan.append(Write(task, held.task[1] if held.task else 0))
    return plan


_MOMENTS = frozenset({"meta", "occurrenceDateTime", "recorded"})


def _content(resource: Resource) -> dict[str, Any]:
    """A resource without the times that every run would set anew."""
    return {key: value for key, value in resource.items() if key not in _MOMENTS}


def taken_by_person(held: Held, subjects: list[Versioned], wanted_study: str) -> bool:
    """Whether a person keeps a ResearchSubject of this study and patient: then the matcher stays away."""
    if held.subject is not None:
        return not held.ours
    study = f"ResearchStudy/{wanted_study}"
    return any(subject.get("study", {}).get("reference", "").split("/_history")[0] == study for subject, _ in subjects)
