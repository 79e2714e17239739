"""Sets of patients agree with the judgement of single pairs, for every kind of criterion. matching/population.py"""

from datetime import date, timedelta
from random import Random
from typing import Any

from fhir_server.matching.criteria import Study, asked
from fhir_server.matching.evaluate import evaluate_study, fails
from fhir_server.matching.facts import Facts
from fhir_server.matching.places import bits
from fhir_server.matching.population import population
from fhir_server.matching.score import matched, scored
from tests.deep import deep
from tests.matching import world as w
from tests.matching.evaluate_test import NOW, TERMS, facts, read
from tests.matching.kinds_test import GROUPS, MAX_AGE, NEGATIVE, POSITIVE, WASHOUT, own, within

PEOPLE, STUDIES = deep(150, 2000), deep(150, 2000)
GENES = ("HGNC:3236", "HGNC:1097", "HGNC:427")
CHANGES = ("p.L858R", "p.T790M", "p.E746_A750del", "p.V600E", "p.V600K", None)
YEARS = {"comparator": ">=", "code": "a"}
TUMOURS = ("LUAD", "NSCLC", "LUNG", "SCLC", "IDC", "MEL", "AML")


def day(random: Random) -> str:
    return str(date(2026, 6, 1) - timedelta(days=random.choice((1, 20, 28, 29, 60, 400))))


def record(random: Random, number: int) -> tuple[w.Resource, list[w.Resource]]:
    """A patient with a few random resources."""
    made: list[w.Resource] = []

    def some(probability: float) -> bool:
        return random.random() < probability

    if some(0.9):
        state = random.choice(("confirmed", "confirmed", "provisional", "refuted"))
        made.append(w.condition("dx", (w.ONCOTREE, random.choice(TUMOURS)), verificationStatus=w.verified(state)))
    if some(0.2):
        made.append(w.condition("met", ("http://hl7.org/fhir/sid/icd-10-cm", random.choice(("C79.31", "C78.7")))))
    for n in range(random.choice((0, 1, 2))):
        answer = random.choice(("LA9633-4", "LA9633-4", "LA9634-2", "LA18198-4"))
        state = random.choice(("final", "final", "preliminary"))
        found = w.variant(f"v{n}", random.choice(GENES), random.choice(CHANGES), answer, status=state, date=day(random))
        if some(0.3):
            found["component"].append(w.component("48019-4", ("http://www.sequenceontology.org", "SO:0001565")))
        made.append(found)
    if some(0.5):
        limit = {
            "code": w.concept((w.LOINC, "81293-3")),
            "valueString": random.choice(("exons 18-21", "hotspots only")),
        }
        made.append(w.region("r", *random.sample(GENES, 2), component=[limit] if some(0.3) else [], date=day(random)))
    if some(0.7):
        made.append(w.ecog("e", random.randrange(4), date=day(random)))
    if some(0.5):
        made.append(w.tmb("t", random.choice((3, 10, 30)), unit=random.choice(("1/1000000{Base}", "%"))))
    if some(0.5):
        made.append(w.observation("er", "16112-5", valueCodeableConcept=w.concept(random.choice((POSITIVE, NEGATIVE)))))
    if some(0.5):
        made.append(w.observation("hb", "718-7", valueQuantity={"value": random.choice((8, 9, 90)), "code": "g/dL"}))
    if some(0.5):
        given = w.statement("m", w.OSIMERTINIB, status=random.choice(("completed", "not-taken", "active")))
        made.append({**given, **({"effectivePeriod": {"end": day(random)}} if some(0.5) else {})})
    if some(0.5):
        text = random.choice(("II", "IIIA", "III", "IV"))
        made.append(w.observation("stage", "21908-9", valueCodeableConcept={"text": text}, date=day(random)))
    if some(0.3):
        made.append({"resourceType": "Specimen", "id": "s", "status": random.choice(("available", "unavailable")),
                     "type": w.concept((w.SNOMED, "119376003")), "subject": w.about("p")})  # fmt: skip
    birth = random.choice((None, "1960-05-01", "2008-06-01", "2008-06-02", "2008"))
    more: dict[str, Any] = {"gender": random.choice(("male", "female", "other"))}
    if some(0.5):
        more["address"] = [{"country": random.choice(("US", "DE")), "state": "MD"}]
    return w.patient(f"p{number}", birth=birth, **more), made


def trait(random: Random, number: int) -> w.Resource:
    """A random criterion."""
    female = w.concept(("http://hl7.org/fhir/administrative-gender", "female"))
    ecog = w.trait("", "89247-1", valueQuantity={"value": random.choice((0, 1, 2)), "comparator": "<="})
    variant = w.trait(
        "", "69548-6", valueCodeableConcept=w.concept((w.HGVS, random.choice(("EGFR p.L858R", "BRAF p.V600E"))))
    )
    drug = w.trait("", "10160-0", valueCodeableConcept=w.concept(w.OSIMERTINIB))
    stage = w.trait("", "21908-9", valueCodeableConcept={"text": random.choice(("III", "IIIA", "IV"))})
    made = random.choice(
        [
            w.trait("", "29308-4", valueCodeableConcept=w.concept((w.ONCOTREE, random.choice(TUMOURS)))),
            w.trait("", "30525-0", valueQuantity={**YEARS, "value": random.choice((17, 18, 60))}),
            w.trait("", "46098-0", valueCodeableConcept=female),
            variant,
            within(variant, MAX_AGE, 28, "d"),
            w.trait("", "69548-6", valueCodeableConcept=w.concept((w.HGNC, random.choice(GENES)))),
            w.trait("", "69548-6", valueCodeableConcept=w.concept((GROUPS, random.choice(
                ("egfr-exon-19-deletion", "braf-v600", "alk-fusion"))))),
            ecog,
            within(ecog, MAX_AGE, 28, "d"),
            w.trait("", "94076-7", valueQuantity={"value": 10, "comparator": ">=", **w.MEGABASE}),
            w.trait("", "16112-5", valueCodeableConcept=w.concept(POSITIVE)),
            w.trait("", "718-7", valueQuantity={"value": 9, "comparator": ">=", "code": "g/dL"}),
            w.trait("", "82810-3", valueCodeableConcept=w.concept((w.SNOMED, "77386006"))),
            drug,
            within(drug, WASHOUT, 28, "d"),
            stage,
            within(stage, MAX_AGE, 28, "d"),
            own("metastatic", valueBoolean=True),
            own("brain-metastases", valueBoolean=True),
            own("biospecimen", valueCodeableConcept=w.concept((w.SNOMED, "119376003"))),
            own("location", valueCodeableConcept=w.concept(("urn:iso:std:iso:3166", "US"))),
        ]
    )  # fmt: skip
    return {**made, "id": f"c{number}", "exclude": random.random() < 0.3}


def drawn(random: Random) -> Study:
    """A random study."""
    inner = w.group("in", trait(random, 8), trait(random, 9), method=random.choice(("any-of", "all-of")))
    traits = [trait(random, n) for n in range(random.choice((1, 2, 3)))]
    traits += [w.within("g", "#in", random.random() < 0.3)] if random.random() < 0.5 else []
    return read(w.study(), w.group("s-eligibility", *traits, contained=[inner]))


def known(patient: w.Resource, made: list[w.Resource]) -> Facts:
    return facts(*made, patient=patient)


def test_the_evidence_listed_is_all_that_an_outcome_rests_on() -> None:
    random, seen = Random(23), {"met": 0, "unknown": 0, "not-met": 0}
    studies = [
        read(w.study(), w.group("s-eligibility", *(trait(random, n) for n in range(6)))) for _ in range(STUDIES // 5)
    ]
    for number in range(PEOPLE):
        patient, made = record(random, number)
        everything = known(patient, made)
        for study in random.sample(studies, 10):
            _, (result,) = evaluate_study(study, everything, TERMS, NOW)
            for place, judged in enumerate(result.criteria):
                cited = {reference.partition("/_history")[0] for reference in judged.finding.evidence}
                kept = [one for one in made if f"{one['resourceType']}/{one['id']}" in cited]
                about = patient if f"Patient/{patient['id']}" in cited else w.patient(patient["id"], birth=None)
                _, (again,) = evaluate_study(study, known(about, kept), TERMS, NOW)
                assert again.criteria[place].finding.outcome == judged.finding.outcome, (judged, made)
                seen[judged.finding.outcome] += 1
    assert min(seen.values()) > PEOPLE


def test_sets_of_patients_equal_single_pairs() -> None:
    random = Random(17)
    people = [known(*record(random, number)) for number in range(PEOPLE)]
    everyone = population(people, TERMS, NOW)
    seen = {"met": 0, "unknown": 0, "not-met": 0}
    for number in range(STUDIES):
        study = drawn(random)
        assert not study.problems, study.problems
        assert asked([study]) == study.asks
        sets = everyone.of_study(study)
        for place, one in enumerate(people):
            outcome = evaluate_study(study, one, TERMS, NOW)[0]
            assert everyone.outcome(sets, place) == outcome, (number, study)
            assert fails(study, one, TERMS, NOW) == (outcome == "not-met")
            if place % 5 == 0:
                assert scored(study, one, TERMS, NOW) == (outcome, matched(study, one, TERMS, NOW).score)
            seen[outcome] += 1
    assert min(seen.values()) > PEOPLE * STUDIES / 50


def test_bits() -> None:
    assert bits((), 3) == 0
    assert bits((0, 2, 9), 10) == 0b1000000101
