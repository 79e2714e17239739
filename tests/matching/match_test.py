"""Matching on real stores: what is written, what is left alone, what is taken back."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.access import OPERATOR, transact
from fhir_server.access.judging import Consents
from fhir_server.access.rules import Rules
from fhir_server.fhir.codec import decode
from fhir_server.fhir.definitions import load as definitions
from fhir_server.fhir.outcome import FhirError
from fhir_server.interactions.draft import change, draft
from fhir_server.matching.candidates import pair_id
from fhir_server.matching.guard import StudyGuard
from fhir_server.matching.judge import Case
from fhir_server.matching.match import MatchSummary, match
from fhir_server.matching.settle import settle
from fhir_server.search.index import indexer
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import Settings
from fhir_server.store.seam import Change, Query, Store, Tx
from fhir_server.validation.structure import validator
from tests.matching import world as w
from tests.matching.evaluate_test import NOW, TERMS

pytestmark = pytest.mark.anyio
SETTINGS = Settings()
VALIDATE, INDEX = validator(definitions()), indexer(definitions(), SETTINGS.base)
ID = pair_id("egfr-nsclc-01", "p")
HRESCH = {"type": "permit", "purpose": [w.purpose("HRESCH")]}
WRITTEN = ("ResearchSubject", "GuidanceResponse", "Provenance")


class Clock:
    """A clock that moves a minute at each look, so that a run never sees the time of another."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        self.now += 60_000_000
        return self.now


@pytest.fixture
def server(store: Store) -> Server:
    clock = Clock()
    return Server(
        settings=SETTINGS,
        definitions=definitions(),
        terminology=TERMS,
        store=store,
        index=INDEX,
        validate=VALIDATE,
        clock=clock,
        new_id=lambda: "new",
        consents=Consents(definitions(), TERMS, INDEX, clock, SETTINGS.adult_age, True, Rules()),
        guards=(StudyGuard(TERMS, SETTINGS.base, asyncio.Event()),),
    )


async def put(server: Server, *resources: w.Resource) -> None:
    """Store resources as a person would, one version more of each."""
    drafts = [(draft(server, resource, resource["id"]), resource["id"]) for resource in resources]
    now = server.clock()

    async def work(tx: Tx) -> None:
        for made, id in drafts:
            before = await tx.read(made.type, id)
            await tx.write(change(made, id, before.version + 1 if before else 1, now, "PUT"))

    await transact(server, OPERATOR, work)


async def get(server: Server, type: str, id: str = ID) -> w.Resource | None:
    row = await server.store.read(type, id, EVERYTHING)
    return None if row is None or row.deleted else decode(row.body)


async def versions(server: Server) -> dict[tuple[str, str], int]:
    """The version of everything that matching may write."""
    return {(row.type, row.id): row.version async for row in server.store.scan(Query((*WRITTEN, "Device"), EVERYTHING))}


async def status(server: Server) -> str | None:
    subject = await get(server, "ResearchSubject")
    return None if subject is None else str(subject["status"])


async def setup(server: Server, *more: w.Resource, leave_out: Sequence[str] = ()) -> MatchSummary:
    """Store the worked example with a patient who fits and consents, then match."""
    record = [w.patient(), w.consent("yes"), *w.fitting_record()]
    kept = [resource for resource in (*w.worked_example(), *record) if resource["id"] not in leave_out]
    await put(server, *kept, *more)
    return await match(server)


def why(guidance: w.Resource) -> dict[str, dict[str, list[Any]]]:
    """The explanation by criterion: the values of each named part."""
    told: dict[str, dict[str, list[Any]]] = {}
    for parameter in guidance["contained"][0]["parameter"]:
        parts: dict[str, list[Any]] = {}
        for part in parameter.get("part", ()):
            parts.setdefault(part["name"], []).append(next(v for k, v in part.items() if k.startswith("value")))
        if parts:
            told[parts["id"][0]] = parts
    return told


async def test_a_patient_who_meets_everything_is_a_candidate_with_reasons(server: Server) -> None:
    summary = await setup(server)
    assert (summary.studies, summary.patients, summary.permitted, summary.pairs) == (1, 1, 1, 1)
    assert (summary.candidates, summary.potential, summary.written) == (1, 0, 1)
    subject = await get(server, "ResearchSubject")
    assert subject is not None
    assert subject["status"] == "candidate"
    assert (subject["study"]["reference"], subject["individual"]["reference"]) == (
        "ResearchStudy/egfr-nsclc-01",
        "Patient/p",
    )
    guidance = await get(server, "GuidanceResponse")
    assert guidance is not None
    assert guidance["status"] == "success"
    told = why(guidance)
    assert list(told) == ["c1", "c2", "c3", "c3a", "c3b", "c4", "c5", "c6", "c6a", "c6b", "c7"]
    assert told["c3b"]["outcome"] == ["met"]
    assert told["c3b"]["evidence"] == [{"reference": "Observation/p-var/_history/1"}]
    provenance = await get(server, "Provenance")
    assert provenance is not None
    assert provenance["target"][0]["reference"] == f"ResearchSubject/{ID}/_history/1"
    assert provenance["policy"] == ["Consent/yes/_history/1"]
    sources = [entity["what"]["reference"] for entity in provenance["entity"]]
    assert sources[:2] == ["ResearchStudy/egfr-nsclc-01/_history/1", "Group/egfr-nsclc-01-eligibility/_history/1"]
    assert {"Condition/p-dx/_history/1", "Patient/p/_history/1", "MedicationStatement/p-osi/_history/1"} <= set(sources)
    assert await get(server, "Device", "trial-matcher") is not None


async def test_missing_data_make_a_potential_candidate_and_a_request_for_them(server: Server) -> None:
    summary = await setup(server, leave_out=["p-ecog"])
    assert (summary.candidates, summary.potential) == (0, 1)
    assert await status(server) == "potential-candidate"
    guidance = await get(server, "GuidanceResponse")
    assert guidance is not None
    assert guidance["status"] == "data-required"
    assert guidance["dataRequirement"] == [
        {"type": "Observation", "codeFilter": [{"path": "code", "code": [{"system": w.LOINC, "code": "89247-1"}]}]}
    ]
    assert why(guidance)["c5"]["action"] == ["Record ECOG performance status"]


async def test_a_potential_candidate_has_the_diagnosis_and_lacks_little(server: Server) -> None:
    summary = await setup(server, leave_out=["p-dx"])
    assert (summary.potential, summary.written) == (0, 0)
    await put(server, w.condition("p-dx", (w.ONCOTREE, "LUAD")))
    assert (await match(server)).candidates == 1
    gone = [{**one, "status": "entered-in-error"} for one in w.fitting_record() if one["resourceType"] != "Condition"]
    await put(server, *gone)  # five criteria are unknown now
    summary = await match(server)
    assert (summary.potential, summary.retracted) == (0, 1)
    assert await status(server) == "ineligible"
    guidance = await get(server, "GuidanceResponse")
    assert guidance is not None
    assert guidance["status"] == "data-required"
    assert (await match(server)).written == 0


def contact(code: str) -> w.Resource:
    return {"type": "permit", "purpose": [{"system": f"{w.OWN}/CodeSystem/contact-purpose", "code": code}]}


@pytest.mark.parametrize(
    ("code", "kind", "owner"),
    [
        ("contact-trial-physician", "review-candidate", "Practitioner/gp"),
        ("contact-trial", "review-candidate", "Practitioner/gp"),
        ("contact-trial-direct", "learn-of-trial", "Patient/p"),
    ],
)
async def test_a_new_candidate_is_brought_to_whom_the_patient_chose(
    server: Server, code: str, kind: str, owner: str
) -> None:
    yes = w.consent("told", policy="https://example.org/contact", provision=contact(code))
    gp = [{"reference": "Practitioner/gp"}]
    await put(server, {"resourceType": "Practitioner", "id": "gp"})
    await setup(server, yes, w.patient(generalPractitioner=gp), leave_out=["p"])
    task = await get(server, "Task")
    assert task is not None
    assert (task["status"], task["code"]["coding"][0]["code"]) == ("requested", kind)
    assert (task["owner"]["reference"], task["focus"]["reference"]) == (owner, f"ResearchSubject/{ID}")
    assert (await match(server)).written == 0
    await put(server, w.ecog("p-ecog", 4))
    await match(server)
    task = await get(server, "Task")
    assert task is not None
    assert task["status"] == "cancelled"
    await put(server, w.ecog("p-ecog", 1))
    await match(server)
    task = await get(server, "Task")
    assert task is not None
    assert task["status"] == "requested"
    await put(server, {**task, "status": "completed"})
    await put(server, w.ecog("p-ecog", 4))
    await match(server)
    task = await get(server, "Task")
    assert task is not None
    assert task["status"] == "completed", "a person has taken it up"
    assert (await match(server)).written == 0


async def test_without_a_choice_nobody_is_contacted(server: Server) -> None:
    await setup(server)
    assert await status(server) == "candidate"
    assert await get(server, "Task") is None


async def test_a_task_that_a_person_deleted_stays_deleted(server: Server) -> None:
    yes = w.consent("told", policy="https://example.org/contact", provision=contact("contact-trial"))
    await setup(server, yes)

    async def delete(tx: Tx) -> None:
        row = await tx.read("Task", ID)
        assert row is not None
        await tx.write(Change("Task", ID, row.version + 1, NOW, "DELETE", b"", ()))

    await server.store.transact(delete)
    assert (await match(server)).written == 0
    assert await get(server, "Task") is None


async def test_running_twice_changes_nothing(server: Server) -> None:
    await setup(server)
    before = await versions(server)
    summary = await match(server)
    assert (summary.written, summary.unchanged, summary.candidates) == (0, 1, 1)
    assert await versions(server) == before


async def test_new_evidence_moves_a_potential_candidate_on(server: Server) -> None:
    await setup(server, leave_out=["p-ecog"])
    await put(server, w.ecog("p-ecog", 0))
    await match(server)
    assert await status(server) == "candidate"
    provenance = await get(server, "Provenance")
    assert provenance is not None
    assert provenance["target"][0]["reference"] == f"ResearchSubject/{ID}/_history/2"
    assert (await match(server)).written == 0


async def test_a_criterion_that_fails_now_makes_it_ineligible_without_deleting(server: Server) -> None:
    await setup(server)
    await put(server, w.ecog("p-ecog", 3))
    summary = await match(server)
    assert (summary.retracted, summary.candidates) == (1, 0)
    assert await status(server) == "ineligible"
    guidance = await get(server, "GuidanceResponse")
    assert guidance is not None
    assert why(guidance)["c5"]["outcome"] == ["not-met"]
    assert (await match(server)).written == 0
    await put(server, w.ecog("p-ecog", 1))
    await match(server)
    assert await status(server) == "candidate"


async def test_a_patient_who_never_fitted_leaves_no_trace(server: Server) -> None:
    summary = await setup(server, w.ecog("p-ecog2", 4, date="2026-05-01"))
    assert (summary.pairs, summary.written) == (1, 0)
    assert await versions(server) == {}


@pytest.mark.parametrize(
    "consent",
    [
        None,
        w.consent("yes", status="inactive"),
        w.consent("yes", provision={"type": "deny"}),
        w.consent("yes", provision={**HRESCH, "period": {"end": "2026-05-31"}}),
        w.consent("yes", made="2026-07-01"),
    ],
)
async def test_without_consent_there_is_nothing(server: Server, consent: w.Resource | None) -> None:
    summary = await setup(server, *([consent] if consent else []), leave_out=["yes"])
    assert (summary.patients, summary.permitted, summary.pairs) == (1, 0, 0)
    assert await versions(server) == {}


@pytest.mark.parametrize("death", [{"deceasedBoolean": True}, {"deceasedDateTime": "2026-05-01"}])
async def test_the_deceased_are_not_matched(server: Server, death: dict[str, Any]) -> None:
    await setup(server, w.patient(**death), leave_out=["p"])
    assert await versions(server) == {}
    await put(server, w.patient())
    await match(server)
    assert await status(server) == "candidate"
    await put(server, w.patient(**death))
    await match(server)
    assert await status(server) == "ineligible"


async def test_revocation_withdraws_and_takes_the_data_out_of_the_reasons(server: Server) -> None:
    await setup(server)
    await put(server, w.consent("yes", status="inactive"))
    summary = await match(server)
    assert (summary.withdrawn, summary.permitted) == (1, 0)
    assert await status(server) == "withdrawn"
    guidance = await get(server, "GuidanceResponse")
    assert guidance is not None
    assert guidance["status"] == "failure"
    assert "contained" not in guidance
    provenance = await get(server, "Provenance")
    assert provenance is not None
    assert provenance["target"][0]["reference"] == f"ResearchSubject/{ID}/_history/2"
    assert (await match(server)).written == 0
    await put(server, w.consent("yes"))
    await match(server)
    assert await status(server) == "candidate"


async def test_a_study_that_closes_takes_its_candidates_back(server: Server) -> None:
    await setup(server)
    study, _ = w.worked_example()
    await put(server, {**study, "status": "closed-to-accrual"})
    summary = await match(server)
    assert (summary.studies, summary.retracted) == (0, 1)
    assert await status(server) == "ineligible"


async def test_what_a_person_set_stays(server: Server) -> None:
    await setup(server)
    for set_by_person in ("screening", "eligible", "candidate", "on-study"):
        subject = await get(server, "ResearchSubject")
        assert subject is not None
        await put(server, {**subject, "status": set_by_person})
        before = await versions(server)
        await put(server, w.consent("yes", status="inactive"), w.ecog("p-ecog", 4))
        await match(server)
        await put(server, w.consent("yes"), w.ecog("p-ecog", 1))
        summary = await match(server)
        assert (summary.untouched, summary.candidates) == (1, 0)
        assert await versions(server) == before
        assert await status(server) == set_by_person


async def test_a_person_s_own_entry_for_the_pair_stays_alone(server: Server) -> None:
    own = {
        "resourceType": "ResearchSubject",
        "id": "by-hand",
        "status": "on-study",
        "study": {"reference": "ResearchStudy/egfr-nsclc-01"},
        "individual": w.about("p"),
    }
    summary = await setup(server, own)
    assert summary.untouched == 1
    assert list(await versions(server)) == [("ResearchSubject", "by-hand")]


async def test_a_candidate_that_a_person_deleted_stays_deleted(server: Server) -> None:
    await setup(server)

    async def delete(tx: Tx) -> None:
        row = await tx.read("ResearchSubject", ID)
        assert row is not None
        await tx.write(Change("ResearchSubject", ID, row.version + 1, NOW, "DELETE", b"", ()))

    await server.store.transact(delete)
    summary = await match(server)
    assert (summary.untouched, summary.written) == (1, 0)
    assert await get(server, "ResearchSubject") is None


@pytest.mark.parametrize("study_status", ["in-review", "completed", "withdrawn", "temporarily-closed-to-accrual"])
async def test_only_active_studies_are_matched(server: Server, study_status: str) -> None:
    study, _ = w.worked_example()
    summary = await setup(server, {**study, "status": study_status}, leave_out=["egfr-nsclc-01"])
    assert summary.studies == 0
    assert await versions(server) == {}


async def test_a_study_without_criteria_and_a_refused_one_are_reported(server: Server) -> None:
    bare = {"resourceType": "ResearchStudy", "id": "bare", "status": "active"}
    odd = w.group(
        "odd-eligibility",
        w.trait("a", "30525-0", valueBoolean=True),
        modifierExtension=[{"url": "urn:x", "valueBoolean": True}],
    )
    summary = await setup(replace(server, guards=()), bare, w.study("odd"), odd)  # of before they were refused
    assert summary.studies == 1
    refused = dict(summary.refused)
    assert "no Group" in refused["bare"]
    assert "urn:x" in refused["odd"]
    assert summary.candidates == 1


async def test_match_can_be_limited_to_a_study_or_a_patient(server: Server) -> None:
    other = [w.patient("q"), w.consent("q-yes", of="q"), *w.fitting_record("q")]
    await put(server, *other, *w.worked_example(), w.patient(), w.consent("yes"), *w.fitting_record())
    assert (await match(server, patient_id="q")).patients == 1
    assert {key for key in await versions(server) if key[0] == "ResearchSubject"} == {
        ("ResearchSubject", pair_id("egfr-nsclc-01", "q"))
    }
    await put(
        server,
        w.study("easy"),
        w.group(
            "easy-eligibility", w.trait("a", "30525-0", valueQuantity={"value": 1, "comparator": ">", "code": "a"})
        ),
    )
    summary = await match(server, study_id="easy")
    assert (summary.studies, summary.candidates, summary.unchanged) == (1, 2, 0)
    assert (await match(server)).candidates == 4
    for wrong in ({"study_id": "nope"}, {"patient_id": "nope"}):
        with pytest.raises(FhirError) as refusal:
            await match(server, **wrong)
        assert refusal.value.status == 404


async def test_groups_apart_and_medications_apart_are_read(server: Server) -> None:
    inner = w.group("inner", w.trait("m", "10160-0", valueCodeableConcept=w.concept(w.OSIMERTINIB)))
    outer = w.group("apart-eligibility", w.within("g", "Group/inner"))
    taken = {k: v for k, v in w.statement("t", w.OSIMERTINIB).items() if k != "medicationCodeableConcept"}
    drug = {"resourceType": "Medication", "id": "osi", "code": w.concept(w.OSIMERTINIB)}
    await put(server, drug, inner, outer, w.study("apart"), w.patient(), w.consent("yes"))
    await put(server, {**taken, "medicationReference": {"reference": "Medication/osi"}})
    summary = await match(server)
    assert summary.candidates == 1
    provenance = await get(server, "Provenance", pair_id("apart", "p"))
    assert provenance is not None
    assert "Group/inner/_history/1" in [entity["what"]["reference"] for entity in provenance["entity"]]


async def test_a_consent_revoked_while_matching_runs_is_obeyed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    async def revoke_first(server: Server, case: Case) -> tuple[int, int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            await put(server, w.consent("yes", status="inactive"))
        return await settle(server, case)

    monkeypatch.setattr("fhir_server.matching.match.settle", revoke_first)
    summary = await setup(server)
    assert (calls, summary.permitted, summary.candidates) == (2, 0, 0)
    assert set(await versions(server)) <= {("Device", "trial-matcher")}
