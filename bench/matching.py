"""Trial matching: many patients against many trials, one patient against many, and how soon candidates follow a write.

    python -m bench.matching --patients 2000 --trials 1000 --stored 50     # with --mongo on MongoDB too

Patients are the example cohort, trials are drawn from what trials ask of it. https://hl7.org/fhir/R4/researchstudy.html
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from bench import machine
from bench.consent import consent
from examples.cohort import generate
from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.export.bring import bring
from fhir_server.fhir.codec import Resource, decode, encode
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.update import update
from fhir_server.matching.ahead import known_to
from fhir_server.matching.criteria import Study, asked, compile_study
from fhir_server.matching.facts import Facts
from fhir_server.matching.follow import step
from fhir_server.matching.genes import genes_of
from fhir_server.matching.judge import Case, Scope, judge
from fhir_server.matching.population import population
from fhir_server.matching.reading import facts_of
from fhir_server.matching.records import patients as patients_of
from fhir_server.matching.settle import settle
from fhir_server.matching.studies import read_studies
from fhir_server.operations.match_trials import match_trials
from fhir_server.server import Server
from fhir_server.settings import Settings
from fhir_server.terminology.codes import load

LOINC = "http://loinc.org"
ONCOTREE = "http://oncotree.mskcc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
GROUPS = "https://participation.example/fhir/CodeSystem/variant-group"
KINDS = "https://participation.example/fhir/CodeSystem/criterion-kind"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
METHOD = "https://participation.example/fhir/StructureDefinition/group-combination-method"
DIAGNOSES = ("NSCLC", "LUAD", "LUNG", "BREAST", "IDC", "GB", "PRAD", "AML", "MEL", "PAAD", "OVT", "BRAIN")
VARIANTS = ("egfr-exon-19-deletion", "braf-v600", "kras-g12", "idh1-r132", "alk-fusion", "erbb2-amplification")
DRUGS = ("1721560", "282388", "40048", "72962", "1547545", "1597876")
FACTS = 40  # written one after the other


def trial(random: Random, number: int) -> tuple[Resource, Resource]:
    """A study of ten criteria and its Group."""

    def trait(id: str, code: str, exclude: bool = False, **value: Any) -> Resource:
        return {"id": id, "code": {"coding": [{"system": LOINC, "code": code}]}, "exclude": exclude, **value}

    def concept(system: str, code: str) -> Resource:
        return {"coding": [{"system": system, "code": code}]}

    def quantity(value: float, comparator: str, code: str) -> Resource:
        return {"value": value, "comparator": comparator, "system": "http://unitsofmeasure.org", "code": code}

    inner = {
        "resourceType": "Group",
        "id": "variants",
        "type": "person",
        "actual": False,
        "modifierExtension": [{"url": METHOD, "valueCode": "any-of"}],
        "characteristic": [
            trait(f"v{n}", "69548-6", valueCodeableConcept=concept(GROUPS, code))
            for n, code in enumerate(random.sample(VARIANTS, 3))
        ],
    }
    within = {"id": "v", "code": concept(KINDS, "in-group"), "valueReference": {"reference": "#variants"}}
    brain = {"id": "b", "code": concept(KINDS, "brain-metastases"), "valueBoolean": True, "exclude": True}
    traits = [
        trait("dx", "29308-4", valueCodeableConcept=concept(ONCOTREE, random.choice(DIAGNOSES))),
        trait("age", "30525-0", valueQuantity=quantity(random.choice((12, 16, 18, 21)), ">=", "a")),
        {**within, "exclude": False},
        trait("ecog", "89247-1", valueRange={"low": {"value": 0}, "high": {"value": random.choice((1, 2))}}),
        trait("drug", "10160-0", True, valueCodeableConcept=concept(RXNORM, random.choice(DRUGS))),
        trait("tmb", "94076-7", valueQuantity=quantity(random.choice((5, 10, 15)), ">=", "1/1000000{Base}")),
        brain,
    ]
    group = {"resourceType": "Group", "id": f"g{number}", "type": "person", "actual": False, "contained": [inner]}
    study = {"resourceType": "ResearchStudy", "id": f"t{number}", "status": "active", "title": f"Trial {number}"}
    return {**study, "enrollment": [{"reference": f"Group/g{number}"}]}, {**group, "characteristic": traits}


def sets(patients: int, trials: int) -> Iterator[str]:
    """All patients against all trials: the exact outcomes, from facts in memory."""
    terminology, random = load(), Random(5)
    genes, now = genes_of(terminology), time.time_ns() // 1000
    records = [[entry["resource"] for entry in bundle["entry"]] for bundle in list(generate(patients))[1:]]
    began = time.perf_counter()
    people: list[Facts] = [
        facts_of(record[0], 1, [(one, 1) for one in record], genes, lambda _: None) for record in records
    ]
    took = time.perf_counter() - began
    resources = sum(map(len, records))
    yield f"| facts from {resources:,} resources | {resources / took:,.0f}/s |"
    studies: list[Study] = []
    for number in range(trials):
        study, group = trial(random, number)
        studies.append(compile_study(study, 1, {f"Group/{group['id']}": (group, 1)}.get, terminology))
    began = time.perf_counter()
    everyone = population(people, terminology, now)
    found = [everyone.of_study(study) for study in studies]
    took = time.perf_counter() - began
    met, possible = sum(one.met.bit_count() for one in found), sum(one.possible.bit_count() for one in found)
    pairs = patients * trials
    more = []
    for number in range(trials, 2 * trials):
        study, group = trial(random, number)
        more.append(compile_study(study, 1, {f"Group/{group['id']}": (group, 1)}.get, terminology))
    began = time.perf_counter()
    for one in more:
        everyone.of_study(one)
    again = time.perf_counter() - began
    what = f"{patients:,} patients x {trials:,} trials: {met:,} met, {possible - met:,} unknown"
    yield f"| {what} | {took:.2f} s, {pairs / took:,.0f} pairs/s |"
    yield f"| as many other trials, facts already projected | {again:.2f} s, {pairs / again:,.0f} pairs/s |"


async def stored(store: str, trials: int, patients: int, others: int) -> list[str]:
    """On a store: one patient against all trials, the first sweep, facts that follow one another, and a changed trial,
    among `others` as well."""
    random, name = Random(5), store.partition(":")[0]
    async with open_server(Settings(store=store, auth="open")) as server:
        for number in range(trials):
            for resource in reversed(trial(random, number)):
                await put(server, resource)
        for bundle in generate(patients):
            for entry in bundle["entry"]:
                await put(server, entry["resource"])
        ask, took = Ask(type="Patient", id="p0003"), []
        for _ in range(10):
            took.append(await timed(lambda: match_trials(server, OPERATOR, ask, {"_count": 20})))
        lines = [f"| {name}: $match-trials, {trials:,} trials | p50 {statistics.median(took) * 1000:.0f} ms |"]
        took, every = [], {"_count": trials, "status": [("all",)]}
        for _ in range(5):
            took.append(await timed(lambda: match_trials(server, OPERATOR, ask, every)))
        lines.append(f"| {name}: all of them, with reasons | p50 {statistics.median(took) * 1000:.0f} ms |")
        began = time.perf_counter()
        cases = await judged(server)
        judging = time.perf_counter() - began
        began = time.perf_counter()
        candidates = sum(one.written or 0 for one in await settle(server, cases))
        writing = time.perf_counter() - began
        lines.append(f"| {name}: {patients} patients judged against all | {patients * trials / judging:,.0f} pairs/s |")
        lines.append(
            f"| {name}: {candidates:,} candidates with their reasons written | {candidates / writing:,.0f}/s |"
        )
        lines.append(f"| {name}: both together | {candidates / (judging + writing):,.0f}/s |")
        if others:
            lines.append(await crowded(server, name, others))
        began = time.perf_counter()
        while await step(server):
            pass
        all, took = patients + others, []
        lines.append(f"| {name}: {all:,} people swept | {all / (time.perf_counter() - began):,.0f}/s |")
        for number in range(FACTS):
            await put(server, ecog(f"p{2 * (number % (patients // 2)) + 1:04d}", 3 * (number // 2 % 2)))
            took.append(await timed(lambda: step(server)))
            while await step(server):
                pass
        p95 = sorted(took)[int(len(took) * 0.95)]
        middle = f"p50 {statistics.median(took) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms"
        lines.append(f"| {name}: a new fact among {all:,} people, until its candidates are written | {middle} |")
        return [*lines, *await changed(server, name, all)]


async def changed(server: Server, name: str, people: int) -> list[str]:
    """A trial gets other criteria: whom it may concern is decided, then judged, then everybody is compared with it."""
    _, group = trial(Random(5), 0)
    sought = [one for one in group["characteristic"] if one["id"] in ("dx", "age", "ecog")]
    await put(server, {**group, "characteristic": sought})
    known, began = known_to(server), time.perf_counter()
    while not known.first and await step(server):
        pass
    decided, concerned = time.perf_counter() - began, sum(len(ids) for _, ids in known.first)
    while known.first and await step(server):
        pass
    written = time.perf_counter() - began
    while await step(server):
        pass
    compared = time.perf_counter() - began
    what = f"| {name}: a changed trial among {people:,} people"
    return [
        f"{what}, until it is decided whom it may concern | {decided:.2f} s: {concerned:,} people |",
        f"{what}, until the candidates of these are written | {written:.1f} s |",
        f"{what}, until everybody is compared with it | {compared:.1f} s |",
        f"| memory of the process at most | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB |",
    ]


async def crowded(server: Server, name: str, others: int) -> str:
    """Import people who permit to be matched and fit no trial."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "others.ndjson"
        with path.open("wb") as file:
            file.writelines(encode(one) + b"\n" for number in range(others) for one in other(number))
        progress = await bring(server, [path], 1, False, lambda progress: None, lambda refusal: None)
    return f"| {name}: {progress.stored:,} resources of others imported | {progress.rate:,.0f}/s |"


def other(number: int) -> list[Resource]:
    """Someone with a diagnosis that no trial asks for."""
    id = f"other{number}"
    about = {"reference": f"Patient/{id}"}
    return [
        {"resourceType": "Patient", "id": id, "birthDate": f"{1930 + number % 90}-01-01"},
        {**consent(id, 0), "id": id},
        {
            "resourceType": "Condition",
            "id": id,
            "subject": about,
            "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
            "code": {"coding": [{"system": ONCOTREE, "code": "COAD"}]},
        },
        {**ecog(id, number % 3), "subject": about},
    ]


async def judged(server: Server) -> list[Case]:
    """All patients judged against all studies, as a run does it."""
    studies = {one.study.id: one.study for one in await read_studies(server)}
    scope = Scope(studies, True, asked(studies.values()))
    cases: list[Case] = []
    async for batch in patients_of(server):
        cases += await judge(server, scope, [(decode(row.body), row.version) for row in batch])
    return cases


def ecog(patient: str, value: int) -> Resource:
    """A performance status, recorded today."""
    return {
        "resourceType": "Observation",
        "id": f"{patient}-ecog",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "89247-1"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2026-09-01",
        "valueInteger": value,
    }


async def put(server: Server, resource: Resource) -> None:
    """Store a resource under its id."""
    await update(server, OPERATOR, Ask(type=resource["resourceType"], id=resource["id"], resource=resource))


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    """The seconds that something takes."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=2000, help="whose facts are held in memory")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--stored", type=int, default=50, help="patients in the store")
    parser.add_argument("--others", type=int, default=0, help="people in the store besides, whom no trial fits")
    parser.add_argument("--mongo", action="store_true", help="on MongoDB too")
    given = parser.parse_args()
    print(machine.describe() + "\n\n| what | measured |\n|---|---|")
    for line in sets(given.patients, given.trials):
        print(line, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{Path(folder) / 'fhir.db'}"
        print("\n".join(asyncio.run(stored(store, given.trials, given.stored, given.others))), flush=True)
    if given.mongo:
        from tests import mongod

        server = mongod.start()
        try:
            print("\n".join(asyncio.run(stored(server.uri("bench"), given.trials, given.stored, given.others))))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
