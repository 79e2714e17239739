"""A diverse synthetic oncology cohort, made from a seed: `python -m examples.cohort --patients 60 --out data/cohort`.

One transaction Bundle of updates per patient, and one (`shared`) of what they all refer to. The same seed and count
give the same bytes. Nobody is meant: names, dates and findings are drawn from lists of common ones.
"""

import argparse
import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from examples import biobank, care, clinical, conditions, consents, genomics
from examples.adult_tumours import ADULT
from examples.cns_and_young_tumours import CNS_AND_YOUNG
from examples.codes import Resource, transaction
from examples.people import person
from examples.tumours import Tumour

# The day on which the cohort is described. Fixed, or the same seed would give other bytes tomorrow.
AS_OF = date(2026, 1, 1)
DEFAULT_SEED = 20260101

TUMOURS: tuple[Tumour, ...] = ADULT + CNS_AND_YOUNG
# Tumours with a textbook case: an early patient who has the hallmark, is coded exactly, and permits trial research.
TEXTBOOK = tuple(tumour for tumour in TUMOURS if tumour.hallmark)
# Decisions of the twins of the first textbook cases: they fit as well, and yet must never become candidates.
TWINS = ("denied", "revoked", "expired", "proposed", "disease-only", "privacy-deny", "none")


def generate(count: int, seed: int = DEFAULT_SEED) -> Iterator[Resource]:
    """The shared Bundle, then `count` patient Bundles. Numbers with a fraction are Decimal.

    Patient n is the same whatever `count` is. Every other early patient is a textbook case, one per kind of tumour in
    TEXTBOOK, the first of them followed by their TWINS; the rest are drawn by weight.
    """
    yield transaction("shared", care.shared())
    for number in range(count):
        yield transaction(f"p{number + 1:04d}", _patient(Random(f"{seed}:{number}"), number))


def _plan(random: Random, number: int) -> tuple[Tumour, str, bool]:
    """Tumour, decision about research, and whether this is a textbook case (or the twin of one)."""
    turn, twin = divmod(number, 2)
    if turn < len(TWINS if twin else TEXTBOOK):
        return TEXTBOOK[turn], TWINS[turn] if twin else random.choice(consents.TRIALS_PERMITTED[:2]), True
    return random.choices(TUMOURS, [each.weight for each in TUMOURS])[0], consents.draw(random), False


def _patient(random: Random, number: int) -> list[Resource]:
    key = f"p{number + 1:04d}"
    tumour, kind, textbook = _plan(random, number)
    ages = tumour.textbook_ages if textbook else tumour.ages
    who = person(random, key, number + 1, AS_OF, ages, tumour.sex, may_die=not textbook)
    patient = who.patient
    age = (AS_OF - who.born).days * 4 // 1461
    last = who.died or AS_OF  # nothing is observed or given afterwards
    hospital = care.hospital_of(random, who, age)
    # A child is diagnosed within its own lifetime.
    diagnosed = AS_OF - timedelta(days=random.randint(120, min(1400, max(150, (AS_OF - who.born).days - 60))))
    cancer, _ = conditions.cancer(random, key, patient, tumour, diagnosed, textbook)
    samples = biobank.specimens(random, key, patient, tumour, diagnosed)
    reported = diagnosed + timedelta(days=random.randint(12, 40))
    decisions = consents.consents(random, key, kind, who, AS_OF)
    made = [patient]
    if who.guardian:
        made.append(who.guardian)
    made += cancer
    made += conditions.comorbidities(random, key, patient, age, AS_OF)
    made.append(care.encounter(f"{key}-visit-1", patient, hospital, diagnosed, cancer[0]))
    made.append(care.encounter(f"{key}-visit-2", patient, hospital, reported + timedelta(days=5), cancer[0]))
    made.append(care.care_team(who, hospital, diagnosed))
    made += care.procedures(random, key, patient, tumour, cancer[0], diagnosed)
    made += samples
    made += genomics.genomic_report(random, key, patient, tumour, samples[0], reported, textbook)
    made += clinical.performance(random, key, patient, age, hospital, last, textbook)
    made += clinical.medications(random, key, patient, tumour, cancer[0], hospital, diagnosed, last, textbook)
    made += decisions
    if kind in consents.TRIALS_PERMITTED and random.random() < 0.6:
        made.append(care.pre_registration(patient, date.fromisoformat(decisions[0]["dateTime"][:10]), decisions[0]))
    return made


def write(folder: Path, count: int, seed: int) -> int:
    """Write every Bundle as its own compact JSON file; returns the number of resources. Other files are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for bundle in generate(count, seed):
        text = json.dumps(bundle, ensure_ascii=False, separators=(",", ":"), default=_number)
        # The shared Bundle sorts first, so that a loader meets organizations before those who refer to them.
        name = "0-shared" if bundle["id"] == "shared" else bundle["id"]
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        total += len(bundle["entry"])
    return total


def _number(value: Any) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON.")


def main() -> None:
    """The command line: see --help."""
    parser = argparse.ArgumentParser(prog="python -m examples.cohort", description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=60, metavar="N", help="how many patients (default 60)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help=f"default {DEFAULT_SEED}")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write one Bundle per patient")
    arguments = parser.parse_args()
    if arguments.patients < 0:
        parser.error("--patients must not be negative")
    total = write(arguments.out, arguments.patients, arguments.seed)
    print(f"{arguments.patients} synthetic patients, {total} resources, in {arguments.out}")


if __name__ == "__main__":
    main()
