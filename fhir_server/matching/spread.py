"""Has the cancer spread, perhaps to the brain? From secondary diagnoses, the M category and the stage."""

from fhir_server.matching.facts import SPREAD, Facts
from fhir_server.matching.finding import Finding, dated, doubtful
from fhir_server.matching.kinds import HasMetastasis
from fhir_server.matching.values import word


def has_spread(test: HasMetastasis, facts: Facts) -> Finding:
    """Met by a secondary tumour (of the brain); elsewhere M1 and stage IV do. Not met by M0, a stage below IV, or a
    secondary tumour that was ruled out."""
    action = "Record the imaging result of the brain" if test.brain else "Record M category or stage"
    unclear: Finding | None = None
    refuted: Finding | None = None
    for diagnosis in facts.diagnoses:
        if not (diagnosis.brain if test.brain else diagnosis.secondary or diagnosis.brain):
            continue
        text, evidence = f"{test.text}: {diagnosis.name}{dated(diagnosis.source)}", (diagnosis.source.reference,)
        if diagnosis.refuted:
            refuted = Finding("not-met", f"{text} was ruled out", evidence)
        elif diagnosis.source.doubt:
            unclear = doubtful(test.text, diagnosis.source, action)
        else:
            return Finding("met", text, evidence)
    category = _category(facts)
    stage = facts.stages[-1] if facts.stages and not facts.stages[-1].source.doubt else None
    if not test.brain and category and category.outcome == "met":
        return category
    if not test.brain and stage and stage.stage.number == 4:
        return Finding("met", f"{test.text}: stage {stage.stage}{dated(stage.source)}", (stage.source.reference,))
    if unclear or refuted:
        return unclear or refuted  # type: ignore[return-value]
    if category and category.outcome == "not-met":
        return category
    if stage and stage.stage.number < 4:
        text = f"{test.text} required; stage {stage.stage}{dated(stage.source)}"
        return Finding("not-met", text, (stage.source.reference,))
    return Finding("unknown", f"No record tells of {test.text}", (), action)


def _category(facts: Facts) -> Finding | None:
    """The newest M category as a finding of spread."""
    found = [facts.results[code] for code in SPREAD if code in facts.results]
    for result in sorted(found, key=lambda one: one.source.date, reverse=True):
        texts = {word(result.name), *(word(answer.code) for answer in result.answers)}
        texts |= {text[1:] for text in texts if text[:1] in "cp"}
        if result.source.doubt:
            continue
        if any(text.startswith("m1") for text in texts):
            return Finding("met", f"Category {result.name}{dated(result.source)}", (result.source.reference,))
        if any(text.startswith("m0") for text in texts):
            return Finding("not-met", f"Category {result.name}{dated(result.source)}", (result.source.reference,))
    return None
