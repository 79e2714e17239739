"""A large population against many trials, from facts: exact counts of who meets each, and of who may. decisions/0013

    python -m bench.population --patients 100000 --trials 1000

Facts are drawn, not read: each person has the diagnoses of one of the example cohort, the variants of another, the
therapies and results of others, a birth date, a performance status and a tumour mutational burden of their own. What is
timed is the index of all that the trials look at, then their evaluation. Of a block of people only the index stays.
"""

import argparse
import resource
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from random import Random

from bench import machine
from bench.matching import trial
from examples.cohort import generate
from fhir_server.matching.criteria import Study, compile_study, leaves
from fhir_server.matching.evaluate import evaluate_study
from fhir_server.matching.facts import ECOG, TMB, Facts, Result, Source
from fhir_server.matching.genes import genes_of
from fhir_server.matching.places import People
from fhir_server.matching.population import Population, day, population
from fhir_server.matching.reading import facts_of
from fhir_server.matching.values import LOINC, point
from fhir_server.terminology.codes import Concept, Terminology, load

BLOCK = 65_536
FIRST = 1_000_000  # pairs
SOURCE = Source("Observation/drawn/_history/1", "2026-03-01", "")
CHECKED = 2000  # pairs that are judged one by one as well
EPOCH = date(1930, 1, 1)


def cohort(terminology: Terminology) -> list[Facts]:
    """The facts of the example cohort."""
    genes, found = genes_of(terminology), []
    for bundle in list(generate(300))[1:]:
        record = [entry["resource"] for entry in bundle["entry"]]
        found.append(facts_of(record[0], 1, [(one, 1) for one in record], genes, lambda _: None))
    return found


def people(known: Sequence[Facts], random: Random) -> Iterator[Facts]:
    """People without end."""
    ecog, tmb = Concept(LOINC, ECOG), Concept(LOINC, TMB)
    while True:
        a, b, c, d = random.choices(known, k=4)
        results = dict(d.results)
        if random.random() < 0.7:
            results[ecog] = Result(point(random.randrange(5)), "", (), "", SOURCE)
        if random.random() < 0.5:
            results[tmb] = Result(point(Decimal(random.randrange(400)) / 10), "1/1000000{Base}", (), "", SOURCE)
        born = str(EPOCH + timedelta(random.randrange(33_000)))
        yield a._replace(
            births=(born[: random.choice((10, 10, 10, 4))],),
            variants=b.variants,
            regions=b.regions,
            therapies=c.therapies,
            results=results,
        )


def measured(patients: int, trials: int) -> Iterator[str]:
    """The rows of the table."""
    terminology, random, now = load(), Random(5), time.time_ns() // 1000
    studies: list[Study] = []
    for number in range(trials):
        made, group = trial(random, number)
        studies.append(compile_study(made, 1, {f"Group/{group['id']}": (group, 1)}.get, terminology))
    criteria = [sum(1 for way in study.alternatives for _ in leaves(way.root)) for study in studies]
    drawn = people(cohort(terminology), Random(7))
    blocks, indexing, checked = [], 0.0, 0
    for at in range(0, patients, BLOCK):
        some = list(islice(drawn, min(BLOCK, patients - at)))
        began = time.process_time()
        indexed = People(some, day(now))
        indexed.prepare(studies)
        indexing += time.process_time() - began
        blocks.append(Population(indexed, terminology, day(now)))
        if at == 0:
            checked = check(some, studies, terminology, now)
    yield f"| {patients:,} people indexed for {trials:,} trials of {min(criteria)} criteria | {indexing:.2f} s of CPU |"
    met, possible = [0] * trials, [0] * trials
    pairs, first, began, busy = 0, 0.0, time.perf_counter(), time.process_time()
    for block in blocks:
        for place, study in enumerate(studies):
            found = block.of_study(study)
            met[place] += found.met.bit_count()
            possible[place] += found.possible.bit_count()
            pairs += block.size
            if not first and pairs >= FIRST:
                first = time.perf_counter() - began
    took, busy = time.perf_counter() - began, time.process_time() - busy
    counts = f"{sum(met):,} met, {sum(possible) - sum(met):,} unknown"
    yield f"| {patients:,} people x {trials:,} trials: {counts} | {took:.2f} s ({busy:.2f} s of CPU) |"
    yield f"| the first million pairs | {first:.3f} s |"
    yield f"| memory of the process at most | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB |"
    yield f"| pairs judged one by one to compare | {checked:,}, all alike |"


def check(some: Sequence[Facts], studies: Sequence[Study], terminology: Terminology, now: int) -> int:
    """Compare random pairs with their judgement one by one; on a block of its own, so that nothing is warm later."""
    random, alone = Random(11), population(some[:CHECKED], terminology, now)
    for _ in range(CHECKED):
        study, place = random.choice(studies), random.randrange(min(CHECKED, len(some)))
        outcome = evaluate_study(study, some[place], terminology, now)[0]
        if alone.outcome(alone.of_study(study), place) != outcome:
            raise AssertionError(f"{study.id} and person {place} come to two outcomes.")
    return CHECKED


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--trials", type=int, default=1000)
    given = parser.parse_args()
    print(machine.describe() + "\n\n| what | measured |\n|---|---|")
    for line in measured(given.patients, given.trials):
        print(line, flush=True)


if __name__ == "__main__":
    main()
