"""The words of CTML and what they are here. https://github.com/dfci/matchengine-V2"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.matching.values import LOINC, OWN
from fhir_server.terminology.codes import Concept, Terminology

ONCOTREE = "http://oncotree.mskcc.org"
DIAGNOSIS_GROUP = f"{OWN}/CodeSystem/diagnosis-group"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
DRUG_CLASS = f"{OWN}/CodeSystem/drug-class"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
GENDER = "http://hl7.org/fhir/administrative-gender"
GROUPS = {"_SOLID_": "solid-tumour", "_LIQUID_": "haematologic"}
SEXES = {"male": "Male", "female": "Female"}
MICROSATELLITE = {"MSI-H": "LA26203-2", "MSI-L": "LA26202-4", "MSS": "LA14122-8"}
POLARITY = {"positive": "10828004", "negative": "260385009", "true": "10828004", "false": "260385009"}
# What the Mutation Annotation Format calls a consequence, in the Sequence Ontology. It does not tell frameshifts apart.
CLASSES = {
    "Missense_Mutation": "SO:0001583", "Nonsense_Mutation": "SO:0001587", "Silent": "SO:0001819",
    "Frame_Shift_Del": "SO:0001589", "Frame_Shift_Ins": "SO:0001589", "In_Frame_Del": "SO:0001822",
    "In_Frame_Ins": "SO:0001821", "Splice_Site": "SO:0001629", "Splice_Region": "SO:0001630",
    "Nonstop_Mutation": "SO:0001578", "Translation_Start_Site": "SO:0002012", "Intron": "SO:0001627",
    "5'UTR": "SO:0001623", "3'UTR": "SO:0001624", "5'Flank": "SO:0001631", "3'Flank": "SO:0001632",
}  # fmt: skip
CALLS = {
    "high amplification": "high-gain", "high level amplification": "high-gain", "low amplification": "low-gain",
    "gain": "low-gain", "homozygous deletion": "complete-loss", "heterozygous deletion": "partial-loss",
}  # fmt: skip
CATEGORIES = {
    "mutation": ("small",), "copy number variation": ("copy-number",), "cnv": ("copy-number",),
    "structural variation": ("fusion",), "sv": ("fusion",), "any variation": ("small", "copy-number"),
}  # fmt: skip
EFFECTS = {"Activating": "gain-of-function", "Inactivating": "loss-of-function"}
STATUSES = {
    "open to accrual": "active", "recruiting": "active", "suspended": "temporarily-closed-to-accrual",
    "closed to accrual": "closed-to-accrual", "closed": "closed-to-accrual",
    "active, not recruiting": "closed-to-accrual", "not yet recruiting": "approved", "completed": "completed",
    "irb study closure": "completed", "withdrawn": "withdrawn", "on hold": "temporarily-closed-to-accrual",
}  # fmt: skip
_COMPARED = re.compile(r"\s*(==|>=|<=|>|<)?\s*(\d+(?:\.\d+)?|\.\d+)\s*")


class Unmapped(ValueError):
    """A key or value of CTML that means nothing here, or a criterion that CTML cannot say; `where` is its path."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}" if where else why)
        self.where, self.why = where, why

    def within(self, outer: str) -> "Unmapped":
        """The same, as it is seen from further out."""
        between = "." if outer and self.where and not self.where.startswith("[") else ""
        return Unmapped(f"{outer}{between}{self.where}", self.why)


def negated(value: Any) -> tuple[Any, bool]:
    """A value without the `!` that negates it, and whether it had one."""
    return (value[1:].strip(), True) if isinstance(value, str) and value.startswith("!") else (value, False)


class Compared(NamedTuple):
    """A number with its comparator, one of `== >= <= > <`."""

    comparator: str
    value: Decimal


def compared(value: Any) -> Compared:
    """Read `>=18`, `.5`, `== 40`. Raises Unmapped."""
    found = None if isinstance(value, bool) else _COMPARED.fullmatch(str(value))
    if found is None:
        raise Unmapped("", f"{value!r} is not a number with ==, >=, <=, > or < before it")
    return Compared(found[1] or "==", Decimal(found[2]))


def quantity(number: Compared, unit: str = "") -> Resource:
    """A comparison as a Quantity."""
    comparator = {} if number.comparator == "==" else {"comparator": number.comparator}
    return {"value": number.value, **comparator, **({"system": UCUM, "code": unit} if unit else {})}


def comparison(value: Mapping[str, Any]) -> str:
    """A Quantity as CTML compares."""
    return f"{value.get('comparator', '==')}{value['value']}"


def text(value: Any) -> str:
    """A value that must be words. Raises Unmapped."""
    if not isinstance(value, str) or not value.strip():
        raise Unmapped("", f"{value!r} is not a text")
    return value.strip()


def chosen(value: Any, table: Mapping[str, Any]) -> Any:
    """What a word of a closed list is here; case counts only where the list has it. Raises Unmapped."""
    word = str(value).strip()
    found = table.get(word, table.get(word.lower()))
    if found is None:
        raise Unmapped("", f"{value!r} is not one of {', '.join(table)}")
    return found


def truth(value: Any) -> bool:
    """A yes or no, as YAML or as a word. Raises Unmapped."""
    return bool(chosen(str(value).lower(), {"true": 1, "yes": 1, "false": 0, "no": 0}))


def said(code: str, table: Mapping[str, str]) -> str:
    """The first word of a list for a code of ours. Raises Unmapped."""
    for word, known in table.items():
        if known == code:
            return word
    raise Unmapped("", f"CTML has no word for {code}")


def codes_by_name(terminology: Terminology, system: str) -> Mapping[str, str]:
    """The codes of a system by name, without regard to case."""
    known = _by_name(terminology)
    if system not in known:
        known[system] = _named(terminology, system)
    return known[system]


@lru_cache(maxsize=2)  # as of matching/genes.py
def _by_name(terminology: Terminology) -> dict[str, Mapping[str, str]]:
    """By system what was asked for so far."""
    return {}


def _named(terminology: Terminology, system: str) -> Mapping[str, str]:
    named = {c.code: display for c, display in terminology.displays.items() if c.system == system}
    return {name.casefold(): code for code, name in sorted(named.items(), reverse=True)} | {
        code.casefold(): code for code in named
    }


def characteristic(code: tuple[str, str], exclude: bool, **value: Any) -> Resource:
    """A criterion of a Group."""
    system, name = code
    return {"code": {"coding": [{"system": system, "code": name}]}, **value, "exclude": exclude}


def concept(terminology: Terminology, system: str, code: str) -> Resource:
    """A valueCodeableConcept with its display, where that is known."""
    display = terminology.displays.get(Concept(system, code))
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}


def loinc(code: str) -> tuple[str, str]:
    """The pair of system and code."""
    return LOINC, code
