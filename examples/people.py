"""Synthetic patients, and the guardians of the young ones. https://hl7.org/fhir/us/core/StructureDefinition-us-core-patient.html"""

from collections.abc import Sequence
from datetime import date, timedelta
from random import Random
from typing import NamedTuple

from examples.codes import IDENTIFIER_TYPE, MCODE, ROLE_CODE, US_CORE, Resource, coding, concept, reference, resource
from examples.names import CULTURES, LANGUAGES, RACES, Culture

RACE_AND_ETHNICITY = "urn:oid:2.16.840.1.113883.6.238"
NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"

# City, state, postal code: large and small places, so that distance and rurality vary.
PLACES = (
    ("Bethesda", "MD", "20814"),
    ("Baltimore", "MD", "21201"),
    ("Houston", "TX", "77030"),
    ("Laredo", "TX", "78040"),
    ("Chicago", "IL", "60612"),
    ("Detroit", "MI", "48201"),
    ("Atlanta", "GA", "30303"),
    ("Selma", "AL", "36701"),
    ("Los Angeles", "CA", "90033"),
    ("Fresno", "CA", "93701"),
    ("Seattle", "WA", "98104"),
    ("Honolulu", "HI", "96813"),
    ("Window Rock", "AZ", "86515"),
    ("Anchorage", "AK", "99501"),
    ("Minneapolis", "MN", "55455"),
    ("New York", "NY", "10029"),
    ("Boston", "MA", "02114"),
    ("Hazard", "KY", "41701"),
    ("Billings", "MT", "59101"),
    ("San Juan", "PR", "00901"),
)
STREETS = ("Cedar Street", "Elm Avenue", "Lakeview Road", "Maple Court", "Mill Lane", "River Road", "Second Street")


class Person(NamedTuple):
    """One synthetic person: what the other modules need to know of the patient before building resources."""

    patient: Resource
    guardian: Resource | None
    born: date
    female: bool
    died: date | None


def person(
    random: Random, key: str, number: int, as_of: date, ages: Sequence[int], sex: str | None, may_die: bool
) -> Person:
    """A patient whose age in years on `as_of` lies in `ages` (low, high); `sex` "F" or "M" or None for either.

    Some birth dates are partial, some race and ethnicity statements say "unknown" or "asked but not answered".
    """
    culture = random.choices(CULTURES, [each.weight for each in CULTURES])[0]
    female = random.random() < 0.51 if sex is None else sex == "F"
    age = random.randint(ages[0], ages[1])
    born = as_of.replace(year=as_of.year - age) - timedelta(days=random.randint(1, 360))
    died = as_of - timedelta(days=random.randint(5, 60)) if may_die and age > 40 and random.random() < 0.09 else None
    family = random.choice(culture.family)
    city, state, code = random.choice(PLACES)
    address = {
        "use": "home",
        "line": [f"{random.randint(1, 999)} {random.choice(STREETS)}"],
        "city": city,
        "state": state,
        "postalCode": code,
        "country": "US",
    }
    language = random.choices(culture.languages, [4, 3, 2][: len(culture.languages)])[0]
    guardian = _guardian(random, key, culture, family, address) if age < 18 else None
    patient = resource(
        "Patient",
        key,
        f"{MCODE}/mcode-cancer-patient",
        extension=[*_race_and_ethnicity(random, culture), _birth_sex(female)],
        identifier=[_record_number(number)],
        active=True,
        name=[{"use": "official", "family": family, "given": _given(random, culture, female)}],
        telecom=[] if age < 18 else _telecom(random, key),
        gender="female" if female else "male",
        birthDate=_written(random, born, age),
        address=[address],
        communication=[_speaks(language)] + ([_speaks("en", False)] if language != "en" else []),
        contact=[_contact(guardian)] if guardian else [],
        **({"deceasedDateTime": died.isoformat()} if died else {}),
    )
    if guardian:
        guardian["patient"] = reference(patient)
    return Person(patient, guardian, born, female, died)


def _given(random: Random, culture: Culture, female: bool) -> list[str]:
    given = culture.female if female else culture.male
    return random.sample(given, 2) if random.random() < 0.3 else [random.choice(given)]


def _record_number(number: int) -> Resource:
    kind = concept(IDENTIFIER_TYPE, "MR", "Medical record number")
    return {"use": "usual", "type": kind, "system": "https://participation.example/mrn", "value": f"SYN-{number:06d}"}


def _written(random: Random, born: date, age: int) -> str:
    """The birth date as a registry may know it: mostly to the day, sometimes to the month or the year."""
    digits = random.choices((10, 7, 4), (94, 3, 3))[0] if age >= 30 else 10
    return born.isoformat()[:digits]


def _race_and_ethnicity(random: Random, culture: Culture) -> list[Resource]:
    if random.random() < 0.05:
        flavour, words = random.choice((("UNK", "Unknown"), ("ASKU", "Asked but no answer")))
        unknown = {"url": "ombCategory", "valueCoding": coding(NULL_FLAVOR, flavour, words)}
        said = [unknown, {"url": "text", "valueString": words}]
        return [{"url": f"{US_CORE}/us-core-race", "extension": said}]
    races = [random.choice(culture.races)]
    if random.random() < 0.06:
        races.append(random.choice([code for code in RACES if code not in races]))
    stated = [{"url": "ombCategory", "valueCoding": coding(RACE_AND_ETHNICITY, code, RACES[code])} for code in races]
    text = {"url": "text", "valueString": ", ".join(RACES[code] for code in races)}
    code, words = ("2135-2", "Hispanic or Latino") if culture.hispanic else ("2186-5", "Not Hispanic or Latino")
    ethnicity = {"url": "ombCategory", "valueCoding": coding(RACE_AND_ETHNICITY, code, words)}
    return [
        {"url": f"{US_CORE}/us-core-race", "extension": [*stated, text]},
        {
            "url": f"{US_CORE}/us-core-ethnicity",
            "extension": [ethnicity, {"url": "text", "valueString": words}],
        },
    ]


def _birth_sex(female: bool) -> Resource:
    return {"url": f"{US_CORE}/us-core-birthsex", "valueCode": "F" if female else "M"}


def _telecom(random: Random, key: str) -> list[Resource]:
    # 555-0100 to 555-0199 are reserved for fiction.
    phone = {
        "system": "phone",
        "value": f"+1-{random.randint(201, 989)}-555-01{random.randint(0, 99):02d}",
        "use": "mobile",
    }
    mail = {"system": "email", "value": f"{key}@participation.example", "use": "home"}
    return [phone, mail][: random.randint(1, 2)]


def _speaks(language: str, preferred: bool = True) -> Resource:
    words = LANGUAGES[language]
    return {
        "language": {"coding": [coding("urn:ietf:bcp:47", language, words)], "text": words},
        "preferred": preferred,
    }


def _guardian(random: Random, key: str, culture: Culture, family: str, address: Resource) -> Resource:
    code, words, given = random.choice((("MTH", "mother", culture.female), ("FTH", "father", culture.male)))
    return resource(
        "RelatedPerson",
        f"{key}-guardian",
        f"{US_CORE}/us-core-relatedperson",
        active=True,
        patient={},
        relationship=[concept(ROLE_CODE, code, words)],
        name=[{"use": "official", "family": family, "given": [random.choice(given)]}],
        telecom=_telecom(random, f"{key}-guardian"),
        address=[address],
    )


def _contact(guardian: Resource) -> Resource:
    return {"relationship": guardian["relationship"], "name": guardian["name"][0], "telecom": guardian["telecom"]}
