"""Candidates that follow the change feed: after any edits, in any steps, with workers killed in between, a full run
would change nothing. On both kinds of store."""

import asyncio
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from fhir_server.access import OPERATOR, transact
from fhir_server.app import clock
from fhir_server.fhir.codec import decode
from fhir_server.fhir.dates import DAY
from fhir_server.interactions.ask import Ask
from fhir_server.matching import ahead, follow
from fhir_server.matching.follow import Lost, step
from fhir_server.matching.match import match
from fhir_server.matching.population import day
from fhir_server.matching.studies import read_studies
from fhir_server.operations.expunge import expunge
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import Settings
from fhir_server.store.seam import Change, Query, Tx
from tests.client import Client, client
from tests.deep import deep
from tests.matching import world as w
from tests.matching.match_test import HRESCH, WRITTEN, get, put, server, setup, status, versions

__all__ = ["client", "server"]
pytestmark = pytest.mark.anyio
OVER_99 = {"value": 99, "comparator": ">=", "code": "a"}
MELANOMA = (w.ONCOTREE, "MEL")
EDITS = deep(60, 600)  # killed_test.py makes 10,000


async def settled(server: Server, most: int = 200) -> int:
    """Step until there is nothing to do; returns how many steps it took."""
    for number in range(most):
        if not await step(server):
            return number
    raise AssertionError("It goes on for ever.")


async def steps(server: Server, most: int) -> None:
    for _ in range(most):
        await step(server)


async def delete(server: Server, type: str, id: str) -> None:
    async def work(tx: Tx) -> None:
        row = await tx.read(type, id)
        if row is not None and not row.deleted:
            await tx.write(Change(type, id, row.version + 1, server.clock(), "DELETE", b"", ()))

    await transact(server, OPERATOR, work)


async def test_the_first_look_judges_everybody_and_then_only_what_changed(server: Server) -> None:
    await put(server, *w.worked_example(), w.patient(), w.consent("yes"), *w.fitting_record())
    await settled(server)
    assert await status(server) == "candidate"
    before = await versions(server)
    assert await settled(server) <= 1
    await put(server, w.ecog("p-ecog", 3))
    await settled(server)
    assert await status(server) == "ineligible"
    await put(server, w.ecog("p-ecog", 1))
    await settled(server)
    assert await status(server) == "candidate"
    assert (await match(server)).written == 0
    assert len(await versions(server)) == len(before)


async def test_a_consent_that_goes_withdraws_and_one_that_comes_brings_back(server: Server) -> None:
    await setup(server)
    await settled(server)
    await put(server, w.consent("yes", status="inactive"))
    await settled(server)
    assert await status(server) == "withdrawn"
    guidance = await get(server, "GuidanceResponse")
    assert guidance is not None
    assert "contained" not in guidance
    await put(server, w.consent("yes"))
    await settled(server)
    assert await status(server) == "candidate"


async def test_a_study_is_excepted_by_name(server: Server) -> None:
    context = "http://hl7.org/fhir/StructureDefinition/consent-ResearchStudyContext"
    denial = {
        "type": "deny",
        "extension": [{"url": context, "valueReference": {"reference": "ResearchStudy/egfr-nsclc-01"}}],
    }
    await setup(server)
    await settled(server)
    assert await status(server) == "candidate"
    await put(server, w.consent("yes", provision={**HRESCH, "provision": [denial]}))
    await settled(server)
    assert await status(server) == "withdrawn"


async def test_a_study_that_changes_is_compared_with_everybody(server: Server) -> None:
    study, criteria = w.worked_example()
    await setup(server)
    await settled(server)
    older = w.trait("c2", "30525-0", valueQuantity={"value": 99, "comparator": ">=", "code": "a"})
    await put(server, {**criteria, "characteristic": [older]})
    await settled(server)
    assert await status(server) == "ineligible"
    await put(server, criteria)
    await settled(server)
    assert await status(server) == "candidate"
    await delete(server, "ResearchStudy", study["id"])
    await settled(server)
    assert await status(server) == "ineligible"


async def test_a_study_that_changes_is_compared_first_with_whom_it_may_concern(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PEOPLE", 5)
    monkeypatch.setattr(ahead, "PEOPLE", 5)
    study, criteria = w.worked_example()
    await put(server, study, {**criteria, "characteristic": [w.trait("c2", "30525-0", valueQuantity=OVER_99)]})
    for number in range(40):
        id = f"a{number:02}"
        await put(server, w.patient(id), w.consent(f"{id}-yes", of=id), w.condition(f"{id}-dx", MELANOMA, of=id))
    await put(server, w.patient(), w.consent("yes"), *w.fitting_record())  # the last in order of creation
    await settled(server)
    assert await status(server) is None
    for begun_anew in (False, True):
        if begun_anew:
            ahead.forget(server)
            await settled(server)  # with nothing else to do it gets to know them again
        await put(server, criteria)
        await steps(server, 3)  # the change, which MongoDB may tell twice; those whom it may concern
        assert await status(server) == "candidate"
        assert await settled(server) > 40 // 5, "everybody was compared all the same"
        await put(server, {**criteria, "characteristic": [w.trait("c2", "30525-0", valueQuantity=OVER_99)]})
        await steps(server, 3)
        assert await status(server) == "ineligible", "who was a candidate comes first, too"
        await settled(server)


async def test_of_whom_consent_is_withdrawn_or_who_is_gone_nothing_is_kept(server: Server) -> None:
    await setup(server)
    await settled(server)
    crowd = ahead.known_to(server).crowd
    [study] = (one.study for one in await read_studies(server))
    assert crowd.likely(study, day(server.clock()), 9) == ["p"]
    await put(server, w.consent("yes", status="inactive"))
    await settled(server)
    assert crowd.likely(study, day(server.clock()), 9) == []
    await put(server, w.consent("yes"))
    await settled(server)
    assert crowd.likely(study, day(server.clock()), 9) == ["p"]
    await delete(server, "Patient", "p")
    await settled(server)
    assert crowd.likely(study, day(server.clock()), 9) == []
    await put(server, w.patient())
    await settled(server)
    assert crowd.likely(study, day(server.clock()), 9) == ["p"]
    await expunge(server, OPERATOR, Ask(type="Patient", id="p"), {"everything": True})
    await settled(server)
    crowd = ahead.known_to(server).crowd
    assert (crowd.size, crowd.likely(study, day(server.clock()), 9)) == (0, [])


async def test_a_record_that_moves_to_another_patient_concerns_both(server: Server) -> None:
    await put(server, w.patient("q"), w.consent("q-yes", of="q"))
    await setup(server)
    await settled(server)
    moved = w.variant("p-var", "HGNC:3236", "NP_005219.2:p.Leu858Arg", of="q")
    await put(server, moved)
    await settled(server)
    assert await status(server) == "ineligible"
    await delete(server, "Observation", "p-region")
    await settled(server)
    assert await status(server) == "potential-candidate"
    assert (await match(server)).written == 0


async def test_a_stored_medication_that_gets_a_code_concerns_those_who_took_it(server: Server) -> None:
    taken = {k: v for k, v in w.statement("t", w.OSIMERTINIB).items() if k != "medicationCodeableConcept"}
    drug: w.Resource = {"resourceType": "Medication", "id": "drug", "code": {"text": "new"}}
    await put(server, drug)
    await setup(server, {**taken, "medicationReference": {"reference": "Medication/drug"}})
    await settled(server)
    assert await status(server) == "candidate"
    await put(server, {**drug, "code": w.concept(w.OSIMERTINIB)})
    await settled(server)
    assert await status(server) == "ineligible"


async def test_what_a_person_took_over_stays(server: Server) -> None:
    await setup(server)
    await settled(server)
    subject = await get(server, "ResearchSubject")
    assert subject is not None
    await put(server, {**subject, "status": "screening"})
    before = await versions(server)
    await put(server, w.ecog("p-ecog", 4))
    await settled(server)
    await put(server, w.consent("yes", status="inactive"))
    await settled(server)
    assert await versions(server) == before


async def test_a_birthday_and_the_end_of_a_consent_come_by_themselves(server: Server) -> None:
    moved: Any = server.clock
    year = {**HRESCH, "period": {"end": "2026-12-31"}}
    await put(server, *w.worked_example(), w.patient(birth="2008-06-20"), w.consent("yes", provision=year))
    await put(server, *w.fitting_record())
    await settled(server)
    assert await status(server) is None
    moved.now += 18 * DAY  # 19 June
    await settled(server)
    assert await status(server) is None
    moved.now += DAY
    await settled(server)
    assert await status(server) == "candidate"
    moved.now += 200 * DAY
    await settled(server)
    assert await status(server) == "withdrawn"
    assert (await match(server)).written == 0


async def test_whoever_is_killed_before_noting_it_does_it_again_without_effect(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await setup(server)
    await settled(server)
    await put(server, w.ecog("p-ecog", 3))

    async def die(*_: Any) -> None:
        raise Lost

    with monkeypatch.context() as killed:
        killed.setattr(follow, "_note", die)
        with pytest.raises(Lost):
            await step(server)
    assert await status(server) == "ineligible"
    before = await versions(server)
    await settled(server)
    assert await versions(server) == before


async def test_one_process_follows_and_another_takes_over_when_it_is_silent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = replace(server, clock=clock)  # leases end by the store's time
    assert await follow._hold(server, "first")
    assert not await follow._hold(server, "second")
    monkeypatch.setattr(follow, "LEASE", 1)
    assert await follow._hold(server, "first")
    monkeypatch.undo()
    await asyncio.sleep(0.01)
    assert await follow._hold(server, "second")
    assert not await follow._hold(server, "first")


def edits(random: Random) -> list[w.Resource]:
    """One random change of facts, consents, patients or studies."""
    who = random.choice(("p", "q", "r"))
    study, criteria = w.worked_example()
    years = {"value": random.choice((1, 18, 90)), "comparator": ">=", "code": "a"}
    lung = w.trait("d", "29308-4", valueCodeableConcept=w.concept((w.ONCOTREE, "LUNG")))
    other = w.group("young-eligibility", w.trait("a", "30525-0", valueQuantity=years), lung)
    record = {one["id"].removeprefix(f"{who}-"): one for one in w.fitting_record(who)}
    return [
        random.choice(
            [
                w.ecog(f"{who}-ecog", random.choice((0, 1, 2)), of=who),
                w.ecog(f"{who}-ecog", 1, of=who, status="entered-in-error"),
                w.tmb(f"{who}-tmb", random.choice((3, 12)), of=who),
                w.msi(f"{who}-msi", random.choice(("LA26203-2", "LA14122-8")), of=who),
                random.choice(list(record.values())),
                {**record["var"], "subject": w.about(random.choice(("p", "q")))},
                w.variant(f"{who}-res", "HGNC:3236", "p.T790M", random.choice(("LA9633-4", "LA9634-2")), of=who),
                w.condition(f"{who}-dx", (w.ONCOTREE, random.choice(("LUAD", "LUNG", "SCLC"))), of=who),
                w.statement(f"{who}-osi", w.OSIMERTINIB, status=random.choice(("not-taken", "completed")), of=who),
                w.consent(f"{who}-yes", of=who, status=random.choice(("active", "active", "inactive"))),
                w.consent(f"{who}-yes", of=who, provision={"type": random.choice(("deny", "permit"))}),
                w.patient(who, birth=random.choice(("1960-05-01", "2010-01-01"))),
                w.patient(who, deceasedBoolean=random.random() < 0.3),
                {**study, "status": random.choice(("active", "active", "closed-to-accrual"))},
                criteria,
                other,
                w.study("young"),
            ]
        )
        for _ in range(random.choice((1, 1, 3)))
    ]


async def test_after_random_edits_a_full_run_changes_nothing(server: Server) -> None:
    random, statuses = Random(2), set()
    for who in ("p", "q", "r"):
        await put(server, w.patient(who), w.consent(f"{who}-yes", of=who), *w.fitting_record(who))
    await put(server, *w.worked_example())
    for number in range(EDITS):
        changes = {(one["resourceType"], one["id"]): one for one in edits(random)}
        await put(server, *changes.values())
        if random.random() < 0.1:
            await delete(server, "Observation", random.choice(("p-tmb", "q-ecog", "r-var")))
        for _ in range(random.choice((0, 1, 2))):  # the matcher lags behind, at random
            await step(server)
        if number % 10 == 9:
            await settled(server)
            summary = await match(server)
            assert (summary.written, summary.unfinished) == (0, 0), number
            async for row in server.store.scan(Query((*WRITTEN, "Task"), EVERYTHING)):
                server.validate(decode(row.body))  # settle.py relies on it
                if row.type == "ResearchSubject":
                    statuses.add(decode(row.body)["status"])
    assert statuses >= {"candidate", "ineligible", "withdrawn"}


def test_candidates_follow_what_is_written_over_http(client: Client) -> None:
    for one in (*w.worked_example(), w.patient(), w.consent("yes"), *w.fitting_record()):
        answer = client("PUT", f"{one['resourceType']}/{one['id']}", one)
        assert answer.status_code == 201, answer.text
    assert follows(client, "candidate") == "candidate"
    client("PUT", "Observation/p-ecog", w.ecog("p-ecog", 4))
    assert follows(client, "ineligible") == "ineligible"
    client("PUT", "Consent/yes", w.consent("yes", status="inactive"))
    assert follows(client, "withdrawn") == "withdrawn"


def follows(client: Client, wanted: str) -> str | None:
    """The status of the only candidate, when it is the wanted one or half a minute is over."""
    for _ in range(300):
        found = [one["resource"]["status"] for one in client("GET", "ResearchSubject").json().get("entry", ())]
        if found == [wanted]:
            return wanted
        client.run(asyncio.sleep(0.1))
    return found[0] if found else None


def test_following_can_be_turned_off(store_url: str) -> None:
    client = Client(Settings(store=store_url, auth="open", access_log=False, match=False))
    for one in (*w.worked_example(), w.patient(), w.consent("yes"), *w.fitting_record()):
        client("PUT", f"{one['resourceType']}/{one['id']}", one)
    client.run(asyncio.sleep(1.5))
    assert client("GET", "ResearchSubject?_summary=count").json()["total"] == 0
    client.close()
