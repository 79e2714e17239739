"""Random Consents that, as a naive reading has it, do not permit a trial: no answer of the server betrays the patient.

`make test-deep` tries 1,000. Among them: denied, expired, of one study or class, by proxy, of a joined Patient, and
revoked while the matcher is at work. docs/consent.md
"""

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from fhir_server.access.facts import Facts
from fhir_server.access.statements import SCOPE
from fhir_server.matching.criteria import asked
from fhir_server.matching.judge import Case, Scope, judge
from fhir_server.matching.permission import ASKED
from fhir_server.matching.records import by_ids
from fhir_server.matching.settle import Settled
from fhir_server.matching.settle import settle as write
from fhir_server.matching.studies import read_studies
from fhir_server.server import Server
from tests.access import naive
from tests.access.consent_random_test import consent
from tests.client import Client
from tests.deep import deep
from tests.matching import world as w
from tests.matching.evaluate_test import TERMS
from tests.matching.people_test import about_study
from tests.operations.match_trials_test import CHILDREN, STUDY, fill, person
from tests.operations.refusal_test import ASKED as PATHS
from tests.operations.refusal_test import serving, settle, told

CASES = deep(25, 1000)
MOST = 4  # Consents of a case
REFUSES = w.patient("refuses")
TWIN = w.patient("refuses-twin")
JOINED = {**TWIN, "link": [{"other": w.about("refuses"), "type": "seealso"}]}
WISHES = ("HRESCH", "CLINTRCH")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    opened = serving(tmp_path_factory.mktemp("adversarial"))
    fill(
        opened, *w.worked_example(), w.study("young"), CHILDREN, w.patient("other"), w.consent("other-yes", of="other")
    )
    for number in range(13):
        fill(opened, *person(f"p{number}", *(["ecog"] if number % 4 == 0 else [])))
    settle(opened)
    yield opened
    opened.close()


def valid(node: Any) -> Any:
    """A generated Consent about our patient and studies, such as the server stores."""
    if isinstance(node, list):
        return [valid(one) for one in node]
    if not isinstance(node, dict):
        return {"ResearchStudy/s": f"ResearchStudy/{STUDY}", "ResearchStudy/t": "ResearchStudy/young"}.get(node, node)
    if node.get("url") == "https://example.org/unless":
        return {**node, "valueBoolean": True}
    return {key: valid(value) for key, value in node.items() if value != {}}


def consents_of(random: Random) -> list[w.Resource]:
    """Random Consents of one patient; most begin with a permit, so that much depends on what comes beside it."""
    made = [valid(consent(random, number)) for number in range(random.randint(1, MOST))]
    if random.random() < 0.7:
        made[0]["status"], made[0]["dateTime"] = "active", random.choice(["2025-01-01", "2090-01-01", "2024"])
        made[0]["scope"] = w.concept((SCOPE, "research"))
        made[0].get("provision", {}).update({"type": "permit", "purpose": [w.purpose(random.choice(WISHES))]})
    if random.random() < 0.3:  # for another study, or for all but this one
        permit = {"type": "permit", "purpose": [w.purpose(random.choice(WISHES))]}
        other, this = (about_study(random.choice(("data", "extension")), study) for study in ("young", STUDY))
        made[0]["provision"] = random.choice(
            ({**permit, **other}, {**permit, "provision": [{"type": "deny", **this}]}, {**permit, **this})
        )
    return [{**one, "patient": w.about("refuses")} for one in made]


def nothing_said(numbers: range) -> list[w.Resource]:
    return [w.consent(f"c{number}", of="refuses", status="entered-in-error") for number in numbers]


def permitted(server: Server, consents: list[w.Resource]) -> bool:
    """Whether a naive reading of the Consents lets the study have the patient."""
    request = ASKED._replace(study=STUDY)
    return naive.decision(consents, REFUSES, Facts(REFUSES, TERMS), request, server.clock())


async def judged(server: Server) -> list[Case]:
    studies = {one.study.id: one.study for one in await read_studies(server)}
    people = (await by_ids(server, "Patient", ["refuses"])).values()
    return await judge(server, Scope(studies, True, asked(studies.values())), people)


async def written(server: Server, cases: list[Case]) -> list[Settled]:
    return await write(server, cases)


@pytest.mark.timeout(deep(300, 3600))
def test_nothing_betrays_who_does_not_permit(client: Client) -> None:
    server: Any = client.app.endpoint.server
    expected = {path: told(client, path) for path in PATHS}
    fill(client, *person("refuses", consents=False), TWIN)
    random, tried = Random(29), Counter[str]()
    while tried["refuses"] < CASES:
        consents = consents_of(random)
        may = permitted(server, consents)
        silent = nothing_said(range(len(consents), MOST))
        kind = random.choice(("revoked", "joined", "plain", "plain"))
        if may and kind == "plain":
            fill(client, *consents, *silent)
            assert "Patient/refuses" in told(client, PATHS[0]), consents
            tried["permits"] += 1
            continue
        if may and kind == "joined":  # what the one permits the other denies
            denial = w.consent("twin-no", of="refuses-twin", provision={"type": "deny"}, policy="https://example.org/9")
            fill(client, JOINED, denial, *consents, *silent)
        elif may or kind == "revoked":  # while the matcher is at work: judged before, written after
            if may:
                fill(client, *consents, *silent)
                consents = [{**one, "status": random.choice(("inactive", "rejected"))} for one in consents]
            else:
                fill(client, w.consent("c0", of="refuses"), *nothing_said(range(1, MOST)))
            cases = client.run(judged(server))
            fill(client, *consents, *silent)
            for one in client.run(written(server, cases)):
                assert one.written is None or not one.case.wanted, (kind, consents)
                tried["overtaken"] += one.written is None
        else:
            fill(client, *consents, *silent)
        settle(client)
        for path in PATHS:
            found = told(client, path)
            assert "Patient/refuses" not in found, (path, kind, consents)
            assert found == expected[path], (path, kind, consents)
        tried["refuses"] += 1
        tried[kind] += 1
        if kind == "joined":
            fill(client, TWIN, w.consent("twin-no", of="refuses-twin", status="entered-in-error"))
    assert min(tried[kind] for kind in ("revoked", "joined", "plain", "permits", "overtaken")) > 0, tried
