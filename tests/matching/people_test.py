"""One person is one candidate, over all Patients joined by link; a Consent may be for one study. docs/matching.md"""

import json
from typing import Any

import pytest

from fhir_server.fhir.codec import decode
from fhir_server.matching.candidates import pair_id
from fhir_server.matching.match import match
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.store.seam import Query
from tests.matching import world as w
from tests.matching.follow_test import delete, settled
from tests.matching.match_test import HRESCH, get, put, server, why

__all__ = ["server"]
pytestmark = pytest.mark.anyio
STUDY = "egfr-nsclc-01"
CONTEXT = "http://hl7.org/fhir/StructureDefinition/consent-ResearchStudyContext"
ADULTS = w.group(
    "adults-eligibility", w.trait("a", "30525-0", valueQuantity={"value": 18, "comparator": ">=", "code": "a"})
)


def linked(to: str, type: str = "seealso") -> dict[str, Any]:
    return {"link": [{"other": w.about(to), "type": type}]}


async def candidates(server: Server) -> dict[tuple[str, str], str]:
    """The status of each ResearchSubject, by patient and study."""
    found = {}
    async for row in server.store.scan(Query(("ResearchSubject",), EVERYTHING)):
        body = decode(row.body)
        pair = body["individual"]["reference"].split("/")[1], body["study"]["reference"].split("/")[1]
        found[pair] = body["status"]
    return found


async def two_halves(server: Server, **of_q: Any) -> None:
    """Two Patients, each with half of a record that fits."""
    half = [one for one in w.fitting_record("q") if one["id"] != "q-dx"]
    await put(server, *w.worked_example(), w.patient(), w.consent("yes"), w.condition("p-dx", (w.ONCOTREE, "LUAD")))
    await put(server, w.patient("q", **of_q), *half)


async def test_joined_patients_are_one_candidate(server: Server) -> None:
    await two_halves(server)
    await settled(server)
    assert await candidates(server) == {}
    await put(server, w.patient("q", **linked("p")))
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "candidate"}
    guidance = await get(server, "GuidanceResponse")
    assert guidance is not None
    assert why(guidance)["c3b"]["evidence"] == [{"reference": "Observation/q-var/_history/1"}]
    assert [one["reference"] for one in why(guidance)["c2"]["evidence"]] == [
        "Patient/p/_history/1",
        "Patient/q/_history/2",
    ]
    assert (await match(server)).written == 0
    assert (await match(server, patient_id="q")).candidates == 1
    await put(server, w.ecog("q-ecog", 3, of="q"))
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "ineligible"}
    await put(server, w.ecog("q-ecog", 1, of="q"), w.patient("q"))
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "ineligible"}, "they are two again"
    assert (await match(server)).written == 0


async def test_what_one_denies_binds_all_and_what_one_permits_serves_all(server: Server) -> None:
    await two_halves(server, **linked("p"))
    await match(server)
    assert await candidates(server) == {("p", STUDY): "candidate"}
    denial = w.consent("no", of="q", provision={"type": "deny"}, policy="https://example.org/2")
    await put(server, denial)
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "withdrawn"}
    assert "Condition/" not in json.dumps(await get(server, "GuidanceResponse"))
    await put(server, w.patient("q"))
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "ineligible"}, "what fitted is the other's"
    await put(server, w.patient("q", **linked("p")), {**denial, "status": "entered-in-error"})
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "candidate"}
    await put(server, w.consent("yes", of="q"))
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "candidate"}, "the consent is the other's now"
    assert (await match(server)).written == 0


async def test_the_candidate_moves_to_the_patient_that_takes_the_place(server: Server) -> None:
    await put(server, *w.worked_example(), w.patient(), w.consent("yes"), *w.fitting_record())
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "candidate"}
    await put(server, w.patient("q", **linked("p", "replaces")))
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "ineligible", ("q", STUDY): "candidate"}
    guidance = await get(server, "GuidanceResponse")
    assert guidance is not None
    assert "contained" not in guidance
    assert (await match(server)).written == 0
    await put(server, w.patient("q"))
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "candidate", ("q", STUDY): "withdrawn"}
    assert (await match(server)).written == 0


async def test_joined_patients_who_say_different_things_leave_them_unknown(server: Server) -> None:
    await two_halves(server, birth="1970-05-01", **linked("p"))
    await match(server)
    assert await candidates(server) == {("p", STUDY): "candidate"}, "of age in either case"
    await put(server, w.patient("q", birth="2015-05-01", **linked("p")))
    await match(server)
    assert await candidates(server) == {("p", STUDY): "potential-candidate"}
    guidance = await get(server, "GuidanceResponse")
    assert guidance is not None
    assert why(guidance)["c2"]["action"] == ["Settle which birth date is right"]
    await put(server, w.patient("q", birth="1960", **linked("p")))
    await match(server)
    assert await candidates(server) == {("p", STUDY): "candidate"}, "a year is no contradiction"
    await put(server, w.patient("q", birth="2015-05-01", **linked("p", "replaced-by")))
    await match(server)
    assert await candidates(server) == {("p", STUDY): "candidate"}, "it was replaced"


async def test_a_death_is_of_the_person_and_a_person_s_entry_is_for_the_person(server: Server) -> None:
    await two_halves(server, deceasedBoolean=True, **linked("p"))
    await match(server)
    assert await candidates(server) == {}
    by_hand = {
        "resourceType": "ResearchSubject",
        "id": "by-hand",
        "status": "screening",
        "study": {"reference": f"ResearchStudy/{STUDY}"},
        "individual": w.about("q"),
    }
    await put(server, w.patient("q", **linked("p")), by_hand)
    summary = await match(server)
    assert (summary.written, summary.untouched, summary.patients) == (0, 1, 1)
    assert await candidates(server) == {("q", STUDY): "screening"}


async def test_a_patient_that_is_deleted_no_longer_counts(server: Server) -> None:
    await two_halves(server, **linked("p"))
    await settled(server)
    await delete(server, "Patient", "q")
    await settled(server)
    assert await candidates(server) == {("p", STUDY): "ineligible"}
    assert (await match(server)).written == 0


def about_study(how: str, study: str) -> dict[str, Any]:
    """A provision's limit to one study, in either of the two ways."""
    reference = {"reference": f"ResearchStudy/{study}"}
    if how == "data":
        return {"data": [{"meaning": "related", "reference": reference}]}
    return {"extension": [{"url": CONTEXT, "valueReference": reference}]}


@pytest.mark.parametrize("how", ["data", "extension"])
async def test_a_permit_for_one_study_is_for_no_other(server: Server, how: str) -> None:
    only = w.consent("yes", provision={**HRESCH, **about_study(how, "adults")})
    await put(server, *w.worked_example(), w.study("adults"), ADULTS, w.patient(), only, *w.fitting_record())
    summary = await match(server)
    assert (summary.permitted, summary.pairs) == (1, 1)
    assert await candidates(server) == {("p", "adults"): "candidate"}
    provenance = await get(server, "Provenance", pair_id("adults", "p"))
    assert provenance is not None
    assert provenance["policy"] == ["Consent/yes/_history/1"]
    await put(server, w.consent("more", provision=HRESCH, policy="https://example.org/2"))
    await settled(server)
    assert await candidates(server) == {("p", "adults"): "candidate", ("p", STUDY): "candidate"}
    await put(server, w.consent("yes", provision={**HRESCH, "type": "deny", **about_study(how, "adults")}))
    await settled(server)
    assert await candidates(server) == {("p", "adults"): "withdrawn", ("p", STUDY): "candidate"}
    assert (await match(server)).written == 0


async def test_each_study_sees_the_data_that_are_permitted_for_it(server: Server) -> None:
    genomic = {"securityLabel": [{"system": f"{w.OWN}/CodeSystem/data-class", "code": "genomic"}]}
    hidden = {"type": "deny", **genomic, **about_study("extension", "twin")}
    study, criteria = w.worked_example()
    twin = {**study, "id": "twin"}
    agreed = w.consent("yes", provision={**HRESCH, "provision": [hidden]})
    await put(server, criteria, study, twin, w.patient(), agreed, *w.fitting_record())
    await match(server)
    assert await candidates(server) == {("p", STUDY): "candidate", ("p", "twin"): "potential-candidate"}
    guidance = await get(server, "GuidanceResponse", pair_id("twin", "p"))
    assert "q-var" not in json.dumps(guidance)
    assert "Observation/p-var" not in json.dumps(guidance)
    await settled(server)
    assert (await match(server)).written == 0
