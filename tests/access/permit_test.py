"""The permit meets a search everywhere that a resource is looked at."""

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access import OPERATOR, Caller, restrict
from fhir_server.search.predicate import (
    EVERYTHING,
    And,
    Chain,
    Entry,
    Has,
    Indexed,
    Is,
    Not,
    Or,
    Param,
    Predicate,
    matches,
)

SHOWN = Param("shown", "token")
CODE = Param("code", "token")
LINK = Param("link", "reference")
SEES = Caller("someone", lambda type, letter: Is(SHOWN))

leaves = st.builds(lambda code: Is(CODE, (("code", "=", code),)), st.sampled_from("ab"))
predicates: st.SearchStrategy[Predicate] = st.recursive(
    leaves | st.just(EVERYTHING),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(lambda parts: And(tuple(parts)), st.lists(inner, max_size=3)),
        st.builds(lambda parts: Or(tuple(parts)), st.lists(inner, max_size=3)),
        st.builds(lambda where: Chain(LINK, "Patient", where), inner),
        st.builds(lambda where: Has("Patient", LINK, where), inner),
    ),
    max_leaves=6,
)


@st.composite
def worlds(draw: st.DrawFn) -> list[Indexed]:
    rows = []
    for id in "1234":
        entries: list[Entry] = [(CODE, "", code) for code in draw(st.sets(st.sampled_from("ab")))]
        entries += [(LINK, "Patient", to, "", "") for to in draw(st.sets(st.sampled_from("1234"), max_size=2))]
        if draw(st.booleans()):
            entries.append((SHOWN, "", "yes"))
        rows.append(Indexed("Patient", id, 0, tuple(entries)))
    return rows


@given(where=predicates, rows=worlds())
def test_hidden_resources_are_as_good_as_absent(where: Predicate, rows: list[Indexed]) -> None:
    whole = {(row.type, row.id): row for row in rows}
    seen = {key: row for key, row in whole.items() if any(entry[0] == SHOWN for entry in row.entries)}
    restricted = restrict(where, SEES, ("Patient",))
    found = {row.id for row in rows if matches(restricted, row, whole)}
    assert found == {row.id for row in seen.values() if matches(where, row, seen)}


@given(where=predicates)
def test_the_operator_asks_what_was_asked(where: Predicate) -> None:
    assert restrict(where, OPERATOR, ("Patient",)) is where
