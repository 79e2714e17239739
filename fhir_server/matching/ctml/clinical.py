"""Clinical and prior-treatment criteria of CTML, one characteristic for each key, and back. See docs/ctml.md"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.matching.ctml import words as w
from fhir_server.matching.ctml.words import Unmapped, characteristic, chosen, compared, concept, loinc, quantity
from fhir_server.matching.values import KIND, codes, concepts
from fhir_server.terminology.codes import Terminology

Read = Callable[[Any, bool, Terminology], Resource]  # the value without its `!`, whether it had one
Say = Callable[[Resource, Terminology], Any]  # a characteristic -> the value, without the `!`

MEGABASE = "1/1000000{Base}"
MONTHS = 12
STATUS = "Disease status"


class Key(NamedTuple):
    """What a key is read as; the first Key of a code says it again."""

    name: str
    code: tuple[str, str]
    read: Read
    say: Say | None = None


def _diagnosis(value: Any, exclude: bool, terminology: Terminology) -> Resource:
    name = w.text(value)
    if name in w.GROUPS:
        said = concept(terminology, w.DIAGNOSIS_GROUP, w.GROUPS[name])
    else:
        code = w.codes_by_name(terminology, w.ONCOTREE).get(name.casefold())
        if code is None:
            why = f"{name!r} is no name or code of OncoTree that is loaded here"
            raise Unmapped("", f"{why}: mend it, or load OncoTree with `fhir-server terminology add oncotree FILE`")
        said = concept(terminology, w.ONCOTREE, code)
    return characteristic(loinc("29308-4"), exclude, valueCodeableConcept=said)


def _say_diagnosis(found: Resource, terminology: Terminology) -> str:
    for coding in concepts(found.get("valueCodeableConcept")):
        if coding.system == w.ONCOTREE:
            return terminology.display(coding)
        if coding.system == w.DIAGNOSIS_GROUP:
            return w.said(coding.code, w.GROUPS)
    for coding in concepts(found.get("valueCodeableConcept")):
        for same in sorted(terminology.equivalents(*coding)):
            if same.system == w.ONCOTREE:
                return terminology.display(same)
    raise Unmapped("", "the diagnosis is not in OncoTree")


def _age(value: Any, exclude: bool, terminology: Terminology) -> Resource:
    """Years; parts of them are months: 0.083 is one."""
    asked = compared(value)
    whole = asked.value.to_integral_value(rounding="ROUND_DOWN")
    months = int(((asked.value - whole) * MONTHS).to_integral_value(rounding="ROUND_HALF_EVEN"))
    if months:
        asked, unit = asked._replace(value=whole * MONTHS + months), "mo"
    else:
        asked, unit = asked._replace(value=whole), "a"
    return characteristic(loinc("30525-0"), exclude, valueQuantity=quantity(asked, unit))


def _say_age(found: Resource, terminology: Terminology) -> str:
    value = found.get("valueQuantity", {})
    match value.get("code"):
        case "a":
            return w.comparison(value)
        case "mo":
            years = (Decimal(value["value"]) / MONTHS).quantize(Decimal("0.001")).normalize()
            return w.comparison({**value, "value": f"{years:f}"})
    raise Unmapped("", "CTML knows ages in years and months only")


def _number(code: tuple[str, str], unit: str = "") -> tuple[Read, Say]:
    def read(value: Any, exclude: bool, terminology: Terminology) -> Resource:
        return characteristic(code, exclude, valueQuantity=quantity(compared(value), unit))

    def say(found: Resource, terminology: Terminology) -> str:
        if "valueQuantity" not in found:
            raise Unmapped("", "CTML compares with one number")
        return w.comparison(found["valueQuantity"])

    return read, say


def _sex(value: Any, exclude: bool, terminology: Terminology) -> Resource:
    code = chosen(value, {name: code for code, name in w.SEXES.items()})
    said = {"coding": [{"system": w.GENDER, "code": code}]}
    return characteristic(loinc("46098-0"), exclude, valueCodeableConcept=said)


def _say_sex(found: Resource, terminology: Terminology) -> str:
    for code in codes(found.get("valueCodeableConcept"), w.GENDER):
        return w.SEXES[code]
    raise Unmapped("", "CTML knows male and female only")


def _polar(code: tuple[str, str], yes: str, no: str) -> tuple[Read, Say]:
    answers = {**w.POLARITY, "yes": w.POLARITY["positive"], "no": w.POLARITY["negative"]}

    def read(value: Any, exclude: bool, terminology: Terminology) -> Resource:
        answer = chosen(str(value).lower(), answers)
        name = "Positive" if answer == w.POLARITY["positive"] else "Negative"
        said = {"coding": [{"system": w.SNOMED, "code": answer, "display": name}]}
        return characteristic(code, exclude, valueCodeableConcept=said)

    def say(found: Resource, terminology: Terminology) -> str:
        answer = codes(found.get("valueCodeableConcept"), w.SNOMED)
        if answer == {w.POLARITY["positive"]}:
            return yes
        if answer == {w.POLARITY["negative"]}:
            return no
        raise Unmapped("", "CTML knows positive and negative only")

    return read, say


def _microsatellite(value: Any, exclude: bool, terminology: Terminology) -> Resource:
    name = w.text(value)
    said = {"coding": [{"system": loinc("")[0], "code": chosen(name, w.MICROSATELLITE), "display": name}]}
    return characteristic(loinc("81695-9"), exclude, valueCodeableConcept=said)


def _say_microsatellite(found: Resource, terminology: Terminology) -> str:
    for code in codes(found.get("valueCodeableConcept"), loinc("")[0]):
        return w.said(code, w.MICROSATELLITE)
    raise Unmapped("", "CTML knows MSI-H, MSI-L and MSS only")


def _repair(value: Any, exclude: bool, terminology: Terminology) -> Resource:
    """MatchMiner holds mismatch repair and microsatellites in one field: deficient is MSI-H, proficient is not."""
    deficient = chosen(value, {"MMR-Deficient": True, "MMR-Proficient": False})
    return _microsatellite("MSI-H", exclude == deficient, terminology)


def _stage(value: Any, exclude: bool, terminology: Terminology) -> Resource:
    return characteristic(loinc("21908-9"), exclude, valueCodeableConcept={"text": w.text(value)})


def _say_stage(found: Resource, terminology: Terminology) -> str:
    return w.text(found.get("valueCodeableConcept", {}).get("text"))


def _category_m(value: Any, exclude: bool, terminology: Terminology) -> Resource:
    spread = chosen(value, {"M1": True, "M0": False})
    return characteristic((KIND, "metastatic"), exclude == spread, valueBoolean=True)


def _say_category_m(found: Resource, terminology: Terminology) -> str:
    return "M1"


def _disease_status(value: Any, exclude: bool, terminology: Terminology) -> Resource:
    """One of several words that MatchMiner shows and does not judge; only spread is judged here."""
    listed = [w.text(one) for one in (value if isinstance(value, list) else [value])]
    if listed == ["Metastatic"]:
        return characteristic((KIND, "metastatic"), exclude, valueBoolean=True)
    if not listed:
        raise Unmapped("", "the list is empty")
    return {
        "code": {"text": STATUS},
        "valueCodeableConcept": {"text": " or ".join(listed)},
        "exclude": exclude,
    }


def _drug(value: Any, exclude: bool, terminology: Terminology) -> Resource:
    return _treatment(
        value, exclude, terminology, w.RXNORM, "no drug of terminology/ConceptMap-rxnorm-to-drug-class.json"
    )


def _drug_class(value: Any, exclude: bool, terminology: Terminology) -> Resource:
    return _treatment(value, exclude, terminology, w.DRUG_CLASS, "no class of terminology/CodeSystem-drug-class.json")


def _treatment(value: Any, exclude: bool, terminology: Terminology, system: str, lack: str) -> Resource:
    name = w.text(value)
    code = w.codes_by_name(terminology, system).get(name.casefold())
    if code is None:
        raise Unmapped("", f"{name!r} is {lack}")
    return characteristic(loinc("10160-0"), exclude, valueCodeableConcept=concept(terminology, system, code))


def _say_drug(found: Resource, terminology: Terminology) -> str:
    for coding in concepts(found.get("valueCodeableConcept")):
        if coding.system == w.RXNORM:
            return terminology.display(coding)
    raise Unmapped("", "the treatment has no code of RxNorm")


CLINICAL = (
    Key("oncotree_primary_diagnosis", loinc("29308-4"), _diagnosis, _say_diagnosis),
    Key("age_numerical", loinc("30525-0"), _age, _say_age),
    Key("age_expression", loinc("30525-0"), _age),
    Key("gender", loinc("46098-0"), _sex, _say_sex),
    Key("tmb_numerical", loinc("94076-7"), *_number(loinc("94076-7"), MEGABASE)),
    Key("tmb", loinc("94076-7"), *_number(loinc("94076-7"), MEGABASE)),
    Key("er_status", loinc("16112-5"), *_polar(loinc("16112-5"), "Positive", "Negative")),
    Key("pr_status", loinc("16113-3"), *_polar(loinc("16113-3"), "Positive", "Negative")),
    Key("her2_status", loinc("48676-1"), *_polar(loinc("48676-1"), "Positive", "Negative")),
    Key("ecog_expression", loinc("89247-1"), *_number(loinc("89247-1"))),
    Key("number_prior_lines_therapy_allowed", (KIND, "lines-of-therapy"), *_number((KIND, "lines-of-therapy"))),
    Key("llm_stage_group", loinc("21908-9"), _stage, _say_stage),
    Key("llm_class_m", (KIND, "metastatic"), _category_m, _say_category_m),
    Key("disease_status", (KIND, "metastatic"), _disease_status),
)
# They stand in genomic nodes, but are results and no variants; a hugo_symbol beside them means nothing.
RESULTS = (
    Key("ms_status", loinc("81695-9"), _microsatellite, _say_microsatellite),
    Key("mmr_status", loinc("81695-9"), _repair),
    *(
        Key(f"{name}_signature", (KIND, f"{ours}-signature"), *_polar((KIND, f"{ours}-signature"), "Yes", "No"))
        for name, ours in (("apobec", "apobec"), ("pole", "pole"), ("tobacco", "tobacco"),
                           ("temozolomide", "temozolomide"), ("uva", "uv"))
    ),
)  # fmt: skip
TREATMENT = (
    Key("drug", loinc("10160-0"), _drug, _say_drug),
    Key("prior_treatment_agent", loinc("10160-0"), _drug),
    Key("agent", loinc("10160-0"), _drug),
    Key("agent_class", loinc("10160-0"), _drug_class),
)


def read_keys(node: Mapping[str, Any], keys: tuple[Key, ...], terminology: Terminology) -> list[Resource]:
    """The criteria of a node, each key by itself: all of them must hold. Raises Unmapped."""
    known = {key.name: key for key in keys}
    found = []
    for name, value in node.items():
        if name not in known:
            raise Unmapped(name, "it is no key that can be mapped")
        bare, exclude = w.negated(value)
        try:
            found.append(known[name].read(bare, exclude, terminology))
        except Unmapped as error:
            raise error.within(name) from None
    if not found:
        raise Unmapped("", "the node is empty")
    return found


def said_keys(found: Resource, keys: tuple[Key, ...], exclude: bool, terminology: Terminology) -> dict[str, Any] | None:
    """A criterion as a node of one of these kinds; None if it is of another. Raises Unmapped."""
    asked = concepts(found.get("code"))
    for key in keys:
        if key.say is not None and key.code in asked:
            value = key.say(found, terminology)
            return {key.name: _opposite(value) if exclude else value}
    if not asked and found.get("code", {}).get("text") == STATUS and keys is CLINICAL and not exclude:
        return {"disease_status": found["valueCodeableConcept"]["text"].split(" or ")}
    return None


_INVERSE = {">=": "<", "<": ">=", ">": "<=", "<=": ">"}


def _opposite(value: str) -> str:
    """The opposite of a value: of a comparison the inverse, else with a `!`."""
    try:
        number = compared(value)
    except Unmapped:
        return f"!{value}"
    return f"{_INVERSE[number.comparator]}{number.value}" if number.comparator in _INVERSE else f"!{value}"
