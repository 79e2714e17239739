"""What people are counted by, to see whom recruitment misses; nothing of it enters a match. http://hl7.org/fhir/us/core/"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import DAY, bounds

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
RURALITY = "https://participation.example/fhir/StructureDefinition/rurality"
BANDS = ((0, 17), (18, 39), (40, 64), (65, 74), (75, 200))  # years of age, both ends included
_EPOCH = date(1970, 1, 1).toordinal()


def _category(patient: Resource, name: str) -> str:
    """The OMB category of US Core's race or ethnicity; several are one of their own."""
    found: set[str] = set()
    for extension in patient.get("extension", ()):
        if extension.get("url") == f"{US_CORE}{name}":
            inner = (one for one in extension.get("extension", ()) if one.get("url") == "ombCategory")
            found |= {one.get("valueCoding", {}).get("code", "") for one in inner}
    found -= {"", "UNK", "ASKU"}
    return "several" if len(found) > 1 else found.pop() if found else "unknown"


def _race(patient: Resource, when: int) -> str:
    return _category(patient, "us-core-race")


def _ethnicity(patient: Resource, when: int) -> str:
    return _category(patient, "us-core-ethnicity")


def _sex(patient: Resource, when: int) -> str:
    return str(patient.get("gender", "unknown"))


def _age(patient: Resource, when: int) -> str:
    try:
        born = date.fromordinal(_EPOCH + bounds(patient["birthDate"])[0] // DAY)
    except (KeyError, ValueError, OverflowError):
        return "unknown"
    today = date.fromordinal(_EPOCH + when // DAY)
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return next(
        (f"{low}-{high}" if high < 200 else f"{low}+" for low, high in BANDS if low <= years <= high), "unknown"
    )


def _rurality(patient: Resource, when: int) -> str:
    return next(_coded(patient.get("address", ()), RURALITY), "unknown")


def _coded(elements: list[Resource], url: str) -> Iterator[str]:
    for element in elements:
        for extension in element.get("extension", ()):
            if extension.get("url") == url and extension.get("valueCode"):
                yield str(extension["valueCode"])


def _language(patient: Resource, when: int) -> str:
    spoken = sorted(patient.get("communication", ()), key=lambda one: not one.get("preferred", False))
    codes = (c.get("code", "") for one in spoken for c in one.get("language", {}).get("coding", ()))
    return next((code.partition("-")[0].lower() for code in codes if code), "unknown")


STRATA: Mapping[str, Callable[[Resource, int], str]] = {
    "race": _race,
    "ethnicity": _ethnicity,
    "sex": _sex,
    "age": _age,
    "rurality": _rurality,
    "language": _language,
}
