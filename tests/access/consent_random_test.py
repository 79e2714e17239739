"""Random Consents, resources and requests: the engine decides as a second, naive reading does (naive.py)."""

from random import Random
from typing import Any

from fhir_server.access.consent import Request, decide
from fhir_server.access.facts import Facts
from fhir_server.access.provisions import STUDY_CONTEXT, voters
from fhir_server.access.rules import rule_of
from fhir_server.access.statements import next_edge, person_of, statement_of
from tests.access import naive
from tests.access.statements_world import (
    D1,
    D2,
    D3,
    D4,
    D5,
    LOINC,
    NOW,
    PATIENT,
    TERMS,
    Resource,
    action,
    actor,
    at,
    coded,
    confidentiality,
    gdis,
    kind,
    label,
    purpose,
    research,
)  # fmt: skip
from tests.deep import deep

PURPOSES = ("HRESCH", "CLINTRCH", "DSRCH", "POARCH", "TREAT", "BTG", "HMARKT", "contact-trial")
ACTORS = ("Organization/o1", "Organization/o2", "Group/net", "Practitioner/x")
RESOURCES = [PATIENT, D1, D2, D3, D4, D5, {**D3, "meta": {"security": [confidentiality("R")]}},
             {**D1, "id": "d6", "effectiveDateTime": "2024"}]  # fmt: skip
TIMES = [NOW, at("2025-06-30T23:59:59"), at("2024-02-01T00:00:00"), at("2026-05-01T00:00:00")]
UNTIL = 400_000_000 * 1_000_000 * 10


def some(random: Random, options: Any, most: int = 2) -> list[Any]:
    return random.sample(list(options), random.randint(1, most))


def provision(random: Random, depth: int) -> Resource:
    node: Resource = {"type": random.choice(["permit", "permit", "deny"])}
    if random.random() < 0.4:
        node["purpose"] = [purpose(one) for one in some(random, PURPOSES[:-1])]
    if random.random() < 0.2:
        node["actor"] = [actor(one) for one in some(random, ACTORS[:3])]
    if random.random() < 0.15:
        node["action"] = action(*some(random, ["access", "use", "disclose", "collect"]))
    if random.random() < 0.2:
        node["class"] = [kind(one) for one in some(random, ["Observation", "Condition", "Specimen", "Patient"])]
    if random.random() < 0.25:
        options = [label("genomic"), label("germline-genomic"), label("clinical"), confidentiality("N"),
                   confidentiality("R"), gdis("GDIS")]  # fmt: skip
        node["securityLabel"] = some(random, options)
    if random.random() < 0.1:
        node["code"] = [{"coding": [coded(LOINC, random.choice(["48002-0", "1-1"]))]}]
    for name in ("period", "dataPeriod"):
        if random.random() < 0.15:
            dates = sorted(some(random, ["2024", "2024-05", "2025-03-01", "2025-06-30", "2026-05-31"]))
            names = ("start", "end") if len(dates) == 2 else (random.choice(["start", "end"]),)
            node[name] = dict(zip(names, dates, strict=True))
    if random.random() < 0.15:
        named = some(random, ["ResearchStudy/s", "ResearchStudy/t", "Condition/d3"])
        node["data"] = [{"meaning": "instance", "reference": {"reference": one}} for one in named]
    if random.random() < 0.1:
        named = some(random, ["ResearchStudy/s", "ResearchStudy/t"])
        node["extension"] = [{"url": STUDY_CONTEXT, "valueReference": {"reference": one}} for one in named]
    if random.random() < 0.04:
        node["modifierExtension"] = [{"url": "https://example.org/unless"}]
    if depth < 6 and random.random() < 0.45:
        node["provision"] = [provision(random, depth + 1) for _ in range(random.randint(1, 3))]
    return node


def consent(random: Random, number: int) -> Resource:
    root: Resource | None = provision(random, 1)
    if random.random() < 0.1:
        root = {key: value for key, value in (root or {}).items() if key != "type"}
    made = research(
        root,
        f"c{number}",
        status=random.choice(["active", "active", "active", "inactive", "draft", "rejected"]),
        scope=random.choice(["research", "research", "patient-privacy"]),
        policy=f"https://example.org/{random.randrange(3)}",
        dateTime=random.choice(["2023", "2024-02-01", "2025-01-01", "2026-05-31", "2026-07-01"]),
    )
    if random.random() < 0.1:
        made["performer"] = [{"reference": "RelatedPerson/mother"}]
    return made


def test_the_engine_agrees_with_the_naive_reading() -> None:
    random = Random(5)
    outcomes = {True: 0, False: 0}
    for _ in range(deep(4_000, 100_000)):
        consents = [consent(random, n) for n in range(random.randint(0, 4))]
        patient = {**PATIENT, "birthDate": random.choice(["1960-05-01", "2008-05-01", "2008-02-29"])}
        facts, now = Facts(random.choice(RESOURCES), TERMS), random.choice(TIMES)
        request = Request(
            random.choice(PURPOSES),
            frozenset(some(random, ACTORS)) if random.random() < 0.8 else frozenset(),
            frozenset(some(random, ["access", "use", "disclose"], 1)),
            random.choice(["", "s", "t"]),
            treatment=random.random() < 0.5,
        )
        person = person_of([patient], 18)
        statements = [one for each in consents if (one := statement_of(each, person)) is not None]
        said = voters(statements, person, facts, now)
        wanted = naive.decision(consents, patient, facts, request, now)
        assert decide(said, request).permit is wanted, (consents, facts.resource, request, now)
        (bare,) = rule_of([said]).people
        assert decide(bare, request).permit is wanted, "what is left when ids and paths are gone"
        edge = next_edge(statements, person, now)
        if edge < UNTIL:
            assert voters(statements, person, facts, edge - 1) == said, "until the next edge nothing changes"
        outcomes[wanted] += 1
    assert min(outcomes.values()) > 400, outcomes
