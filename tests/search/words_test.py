"""The one entry of text that a resource has."""

from fhir_server.search.predicate import And, Indexed, matches
from fhir_server.search.words import MOST, TEXTS, entry, has_words


def found(resource: dict[str, object], text: str, narrative: bool = False) -> bool:
    made = entry(resource, ())
    row = Indexed("Basic", "1", 0, (made,) if made else ())
    wanted = tuple(has_words(text, narrative))
    return wanted != () and matches(And(wanted), row, {})


def test_words_are_compared_without_case_and_accents() -> None:
    resource = {"resourceType": "Basic", "note": [{"text": "Größe: ÉTÉ,  Non-Small\x1fCell"}], "names": ["Ödön"]}
    assert all(found(resource, text) for text in ("grösse", "ete", "SMALL", "cell non", "odon", "Ödö"))
    assert not any(found(resource, text) for text in ("mall", "Basic", ""))


def test_what_is_meant_for_machines_is_not_searched() -> None:
    coding = {"system": "http://loinc.org", "code": "8-1", "display": "Weight"}
    resource = {"resourceType": "Basic", "id": "abc", "code": {"coding": [coding]}, "url": "http://abc.example/loinc"}
    assert found(resource, "weight 8")
    assert not found(resource, "loinc")
    assert not found(resource, "abc")
    assert entry({"resourceType": "Basic"}, ()) is None


def test_the_narrative_is_told_apart_from_the_rest() -> None:
    resource = {"text": {"div": "<div>lung <b>cancer</b></div>"}, "note": "cancer stage"}
    assert found(resource, "lung cancer", narrative=True)
    assert found(resource, "lung stage")
    assert not found(resource, "stage", narrative=True)
    assert not found(resource, "div")


def test_words_that_many_texts_have_leave_room_for_others() -> None:
    notes = [{"text": f"one and the same text of note {number}"} for number in range(500)]
    resource = {"text": {"div": "<p>the same</p>"}, "note": [*notes, {"text": "last"}]}
    made = entry(resource, ["\ncode=lung"])
    assert made is not None
    assert made[0] == TEXTS
    assert made[1].startswith("\ncode=lung")
    assert len(made[1]) < MOST
    assert found(resource, "same last")
    assert found(resource, "same", narrative=True)
    assert found(resource, "499")
    notes = [{"text": f"{number:08}"} for number in range(2_000)]
    longest = entry({"note": notes}, ())
    assert longest is not None
    assert len(longest[1]) == MOST
