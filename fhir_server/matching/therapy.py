"""Was a therapy given, and within the washout? See docs/matching.md, Absence."""

from datetime import date

from fhir_server.fhir.dates import DAY, bounds
from fhir_server.matching.facts import Facts, Therapy
from fhir_server.matching.finding import Finding, dated, doubtful
from fhir_server.matching.kinds import HadTherapy
from fhir_server.matching.relate import relate
from fhir_server.terminology.codes import Terminology, relation

_EPOCH = date(1970, 1, 1).toordinal()


def had_therapy(test: HadTherapy, facts: Facts, terminology: Terminology, today: date) -> Finding:
    """Met by a record that it was given; not met only by a statement that it was not, or, where there is a washout, if
    all that was given of it ended before."""
    unclear: Finding | None = None
    never: Therapy | None = None
    ended: list[Therapy] = []
    for therapy in facts.therapies:
        source, how = therapy.source, relate(terminology, therapy.concepts, test.concepts)
        within = _within(test, therapy, today) if therapy.given and how in ("is", "broader") else None
        if therapy.given and how == "is" and not source.doubt:
            if within:
                return Finding("met", f"{test.text} on file{dated(source)}", (source.reference,))
            if within is None:
                text = f"{test.text}: it is on file{dated(source)}, but not when it was given last"
                unclear = unclear or Finding("unknown", text, (source.reference,), "Record when it was given last")
            else:
                ended.append(therapy)
        elif therapy.given and how == "is" and within is not False:
            unclear = doubtful(f"{test.text} on file", source, "Confirm the therapy history")
        elif therapy.given and how == "broader" and within is not False:
            text = f"{therapy.name}{dated(source)} is recorded less exactly than {test.text} asks"
            unclear = unclear or Finding("unknown", text, (source.reference,), "Record the substance")
        elif not therapy.given and _covers(terminology, therapy, test):
            never = therapy
    if unclear:
        return unclear
    if ended:
        text = f"{test.text}: given last on {', '.join(therapy.last[:10] for therapy in ended)}"
        return Finding("not-met", text, tuple(therapy.source.reference for therapy in ended))
    if never:
        return Finding("not-met", f"{test.text} stated as not taken{dated(never.source)}", (never.source.reference,))
    return Finding("unknown", f"No record tells of {test.text}", (), "Record the medication history")


def _within(test: HadTherapy, therapy: Therapy, today: date) -> bool | None:
    """Whether it was given within the washout; None if that cannot be told."""
    if test.washout is None or therapy.last == "now":
        return True
    try:
        first, end = bounds(therapy.last)
    except ValueError:
        return None
    since = (test.washout.before(today).toordinal() - _EPOCH) * DAY
    return True if first >= since else False if end <= since else None


def _covers(terminology: Terminology, never: Therapy, test: HadTherapy) -> bool:
    """Whether what was not given is the required therapy or a class above it."""
    return any(relation(terminology, asked, mine) == "is" for asked in test.concepts for mine in never.concepts)
