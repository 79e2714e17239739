"""Random search URLs over the types of world.py: all kinds of parameter, prefix and modifier, chains, `_has`, sorts."""

from collections.abc import Mapping
from random import Random
from urllib.parse import urlencode

from fhir_server.fhir.definitions import Definitions, SearchParam
from fhir_server.fhir.ucum import SYSTEM as UCUM
from tests.search_oracle.world import CITIES, DATES, DISEASES, FAMILIES, GIVEN, LOINC, LOINCS, SNOMED, UNITS

COUNTS = {
    "Patient": 30,
    "Observation": 110,
    "Condition": 35,
    "Encounter": 25,
    "Organization": 8,
    "Practitioner": 8,
    "Location": 12,
    "QuestionnaireResponse": 10,
    "ValueSet": 10,
    "List": 5,
    "RiskAssessment": 8,
}
WEIGHTS = [8, 8, 4, 4, 2, 2, 2, 2, 2, 1, 1]
# Parameters that resources of world.py have, and one that none has.
CODES: Mapping[str, tuple[str, ...]] = {
    "Patient": (
        "name",
        "family",
        "given",
        "phonetic",
        "identifier",
        "gender",
        "birthdate",
        "deceased",
        "death-date",
        "address",
        "address-city",
        "address-postalcode",
        "general-practitioner",
        "organization",
        "language",
        "_tag",
        "_profile",
        "_lastUpdated",
        "_id",
        "email",
    ),
    "Observation": (
        "code",
        "status",
        "category",
        "subject",
        "patient",
        "encounter",
        "performer",
        "has-member",
        "date",
        "value-quantity",
        "value-concept",
        "value-string",
        "value-date",
        "component-code",
        "combo-code",
        "component-value-quantity",
        "combo-value-quantity",
        "code-value-quantity",
        "code-value-concept",
        "combo-code-value-quantity",
        "component-code-value-quantity",
        "code-value-date",
        "code-value-string",
        "_lastUpdated",
        "_id",
        "method",
    ),
    "Condition": ("code", "subject", "patient", "encounter", "onset-date", "onset-age", "onset-info", "recorded-date"),
    "Encounter": ("status", "class", "subject", "patient", "date", "location", "length", "participant", "practitioner"),
    "Organization": ("name", "active", "identifier", "partof"),
    "Practitioner": ("name", "family", "given", "_id"),
    "Location": ("name", "partof"),
    "QuestionnaireResponse": ("questionnaire", "patient", "subject", "authored", "status"),
    "ValueSet": ("url", "version", "status", "code", "reference"),
    "List": ("item", "status"),
    "RiskAssessment": ("probability", "patient", "subject"),
}
MODIFIERS = {
    "token": ["", "", "", "missing", "not", "text", "of-type", "in", "not-in"],
    "string": ["", "", "exact", "contains", "missing"],
    "reference": ["", "", "", "missing", "identifier", "type", "below"],
    "uri": ["", "above", "below", "missing"],
}
FEW = [1, 1, 1, 2]
PREFIXES = ["", "", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]
TOKENS = [
    *(code for code, _ in LOINCS + DISEASES),
    *(f"{LOINC}|{code}" for code, _ in LOINCS),
    *(f"{SNOMED}|{code}" for code, _ in DISEASES),
    f"{LOINC}|",
    f"|{DISEASES[0][0]}",
    "urn:local|a",
    "b",
    "final",
    "amended",
    "female",
    "male",
    "finished",
    "AMB",
    "true",
    "false",
    "urn:mrn|3",
    "5",
    "urn:t|MR|3",
    "|SS|4",
    "x",
    "de",
    "laboratory",
    "urn:mrn|",
    "active",
    "nosuch",
]
TEXTS = ["lung", "Text", "system", "hem", "Lab", "vital signs", "test", "record", "non-small"]
URIS = [
    "http://x/fhir/ValueSet/1",
    "http://x/fhir",
    "http://x/fhir/ValueSet/1/2/3",
    "http://x/profile/patient",
    "http://x/profile/patient|1.2",
    "http://x/fhir/",
    SNOMED,
]
STRINGS = [*FAMILIES, *GIVEN, *CITIES, "i", "jo", "zoe", "NUNEZ", "hospital", "normal", "child", "30", "er", "unknown"]


class Generator:
    """Draws one query after another from its seed."""

    def __init__(self, definitions: Definitions, seed: int) -> None:
        self.search = definitions.search
        self.random = Random(seed)

    def query(self) -> tuple[str, str]:
        """A resource type and a query string."""
        random = self.random
        (type,) = random.choices(list(COUNTS), WEIGHTS)
        pairs = [self.criterion(type, 3) for _ in range(random.choice([0, 1, 1, 1, 2, 2, 3]))]
        pairs = [pair for pair in pairs if pair[0]]
        if random.random() < 0.4:
            keys = random.sample([code for code in CODES[type] if self.sortable(type, code)], random.choice([1, 1, 2]))
            pairs.append(("_sort", ",".join(random.choice(["", "-"]) + key for key in keys)))
        return type, urlencode(pairs)

    def sortable(self, type: str, code: str) -> bool:
        return self.search[type][code].kind != "composite" and not code.startswith("combo-")

    def criterion(self, type: str, depth: int) -> tuple[str, str]:
        random, kind = self.random, self.random.random()
        if kind < 0.12 and depth:
            return self.chain(type, depth)
        if kind < 0.24 and depth:
            return self.has(type, depth)
        if kind < 0.34:
            return self.special(type)
        param = self.search[type][random.choice(CODES[type])]
        modifier = random.choice(MODIFIERS.get(param.kind, ["", "", "", "missing"]))
        if param.code in ("_id", "_lastUpdated"):
            modifier = random.choice(["", "", "missing"]) if param.code == "_lastUpdated" else ""
        if modifier == "of-type" and param.code != "identifier":
            modifier = "text"
        if modifier == "below" and param.code not in ("questionnaire", "partof", "location"):
            modifier = ""
        values = [self.value(param, modifier) for _ in range(1 if modifier == "missing" else random.choice(FEW))]
        if modifier == "type":
            modifier = random.choice(sorted(param.target & COUNTS.keys()) or [""])
        name = f"{param.code}:{modifier}" if modifier else param.code
        return name, ",".join(values)

    def chain(self, type: str, depth: int) -> tuple[str, str]:
        random = self.random
        links = [code for code in CODES[type] if self.search[type][code].kind == "reference"]
        if not links:
            return "", ""
        param = self.search[type][random.choice(links)]
        targets = sorted(param.target & COUNTS.keys())
        if not targets:
            return "", ""
        target = random.choice(targets)
        name, value = self.criterion(target, depth - 1)
        typed = f":{target}" if len(targets) > 1 or random.random() < 0.3 else ""
        return (
            (f"{param.code}{typed}.{name}", value) if name and name[:5] not in ("_filt", "_list", "near") else ("", "")
        )

    def has(self, type: str, depth: int) -> tuple[str, str]:
        found = [
            (source, code)
            for source, codes in CODES.items()
            for code in codes
            if self.search[source][code].kind == "reference" and type in self.search[source][code].target
        ]
        if not found:
            return "", ""
        source, code = self.random.choice(found)
        name, value = self.criterion(source, depth - 1)
        return (f"_has:{source}:{code}:{name}", value) if name else ("", "")

    def special(self, type: str) -> tuple[str, str]:
        random = self.random
        choices = [
            ("_content", random.choice([*STRINGS[:9], "lung cancer", "kg", "final"])),
            ("_text", "ito bern"),
            ("_text", random.choice(FAMILIES)),
            ("_list", f"list{random.randrange(6)}"),
            ("_filter", self.filter(type, 2)),
        ]
        if type == "Location":
            choices += [("near", f"41.{random.randrange(9)}|0.5|{random.choice([5, 40, 90])}|km")] * 4
        return random.choice(choices)

    def filter(self, type: str, depth: int) -> str:
        random, kind = self.random, self.random.random()
        if depth and kind < 0.25:
            return f"({self.filter(type, depth - 1)} {random.choice(['and', 'or'])} {self.filter(type, depth - 1)})"
        if depth and kind < 0.35:
            return f"not ({self.filter(type, depth - 1)})"
        codes = [code for code in CODES[type] if self.search[type][code].kind != "composite"]
        param = self.search[type][random.choice(codes)]
        operators = {
            "string": ["eq", "ne", "co", "sw", "ew"],
            "date": ["eq", "ne", "gt", "le", "sa", "po"],
            "number": ["eq", "lt"],
            "quantity": ["eq", "gt"],
            "token": ["eq", "ne", "co"],
            "uri": ["eq", "sw"],
            "reference": ["re", "eq"],
        }
        if param.code in ("_id", "_lastUpdated"):
            return f"{param.code} eq {'patient1' if param.code == '_id' else '2026'}"
        operator = random.choice([*operators[param.kind], "pr"])
        if operator == "pr":
            return f"{param.code} pr {random.choice(['true', 'false'])}"
        value = self.value(param, "text" if (operator, param.kind) == ("co", "token") else "")
        if param.kind in ("date", "number", "quantity"):
            value = value[2:] if value[:2] in PREFIXES else value
        return f'{param.code} {operator} "{value}"' if set(" ])") & set(value) else f"{param.code} {operator} {value}"

    def value(self, param: SearchParam, modifier: str) -> str:
        random = self.random
        if modifier == "missing":
            return random.choice(["true", "false"])
        if modifier == "text":
            return random.choice(TEXTS)
        if modifier in ("in", "not-in"):
            return f"ValueSet/valueset{random.randrange(10)}"
        if modifier == "of-type":
            return random.choice(["urn:t|MR|3", "|SS|4", "urn:t|SS|1", "urn:t|MR|0"])
        if param.components:
            return "$".join(self.component(component.kind) for component in param.components)
        if param.code == "_id":
            return random.choice([f"{param.type.lower()}{random.randrange(9)}", "nosuch"])
        if param.kind == "reference":
            return self.reference(param, modifier)
        return self.part(param.kind)

    def component(self, kind: str) -> str:
        found = self.part(kind)
        return self.component(kind) if found.endswith("|") else found

    def part(self, kind: str) -> str:
        random = self.random
        match kind:
            case "token":
                return random.choice([token for token in TOKENS if token.count("|") < 2])
            case "string":
                return random.choice(STRINGS)
            case "uri":
                return random.choice(URIS)
            case "date":
                return random.choice(PREFIXES) + random.choice([*DATES, "1970-03", "1960", "2021-07-01", "2026"])
            case "number":
                return random.choice(PREFIXES) + random.choice(["0.1", "0.10", "1", "0.25", "1e-2"])
        unit, middle, step = random.choice(UNITS[random.choice(LOINCS)[0]])
        amount = float(middle) + random.randint(-4, 4) * float(step)
        number = random.choice([f"{amount:g}", f"{amount:.1f}", f"{round(amount)}"])
        return random.choice(PREFIXES) + number + random.choice(["", f"|{UCUM}|{unit}", f"|{UCUM}|{unit}", f"||{unit}"])

    def reference(self, param: SearchParam, modifier: str) -> str:
        random = self.random
        if modifier == "identifier":
            return random.choice(["urn:mrn|3", "4", "urn:mrn|", "nosuch"])
        if param.code == "questionnaire":
            return random.choice(["http://x/q|1", "http://x/q|1.2", "http://x/q", "http://x/q|1.2.3", "http://x/q/2"])
        type = random.choice(sorted(param.target & COUNTS.keys()) or ["Patient"])
        id = f"{type.lower()}{random.randrange(COUNTS[type])}"
        if modifier == "below":
            return f"{type}/{id}"
        if modifier == "type":
            return id
        return random.choice([id, f"{type}/{id}", f"{type}/{id}", f"http://elsewhere/{type}/{id}"])
