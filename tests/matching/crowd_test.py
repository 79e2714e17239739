"""Whom a study may concern, by what is kept of everybody: as the judgement of single pairs says. matching/crowd.py"""

from random import Random
from types import MappingProxyType

from fhir_server.access.statements import FOREVER
from fhir_server.matching.criteria import Leaf, leaves
from fhir_server.matching.crowd import Crowd
from fhir_server.matching.evaluate import answered, fails
from fhir_server.matching.facts import Facts
from fhir_server.matching.people import Person
from fhir_server.matching.permission import NO_STUDY, Permission
from fhir_server.matching.places import every_place
from fhir_server.matching.population import day
from fhir_server.matching.projection import excerpt
from tests.deep import deep
from tests.matching.evaluate_test import NOW, TERMS
from tests.matching.population_test import drawn, known, record

PEOPLE, EDITS = deep(60, 600), deep(200, 3000)


def person(id: str, facts: Facts | None, *others: str, named: frozenset[str] = frozenset()) -> Person:
    permission = Permission((), facts is not None, named, FOREVER, MappingProxyType({}))  # no rule denies
    return Person(id, (id, *others), permission, None, False, {} if facts is None else {NO_STUDY: facts})


def test_an_excerpt_shows_a_criterion_the_same() -> None:
    random = Random(29)
    people = [known(*record(random, number)) for number in range(PEOPLE)]
    every: dict[int, Leaf] = {}
    for _ in range(PEOPLE):
        every.update((id(leaf), leaf) for way in drawn(random).alternatives for leaf in leaves(way.root))
    for leaf in every.values():
        for facts in people:
            whole = answered(leaf, facts, TERMS, day(NOW)).outcome
            assert answered(leaf, excerpt(leaf, facts, day(NOW)), TERMS, day(NOW)).outcome == whole, leaf
    assert len({type(leaf.test) for leaf in every.values()}) > 8


def test_whoever_is_not_ruled_out_is_likely_however_people_come_change_and_go() -> None:
    random, crowd = Random(31), Crowd(TERMS)
    studies = [drawn(random) for _ in range(40)]
    places = every_place(studies)
    now: dict[str, Facts] = {}
    found = 0
    for number in range(EDITS):
        id = f"p{random.randrange(PEOPLE)}"
        facts = None if random.random() < 0.2 else known(*record(random, number))
        crowd.learn(person(id, facts), places, day(NOW))
        now.pop(id, None)
        if facts is not None:
            now[id] = facts
        if random.random() < 0.2:
            gone = random.choice(list(now) or ["nobody"])
            crowd.forget([gone])
            now.pop(gone, None)
        study = random.choice(studies)
        likely = {one for one, facts in now.items() if not fails(study, facts, TERMS, NOW)}
        assert set(crowd.likely(study, day(NOW), PEOPLE)) == likely
        found += len(likely)
    assert found > EDITS
    assert crowd.size <= PEOPLE, "numbers are used again"
    crowd.forget(list(now))
    assert not any(any(column.shared) for column in crowd._columns.values()), "nothing of them is kept"


def test_of_what_was_never_looked_at_everything_is_possible() -> None:
    random, crowd = Random(37), Crowd(TERMS)
    facts = known(*record(random, 1))
    crowd.learn(person("p", facts), {}, day(NOW))
    assert all(crowd.likely(drawn(random), day(NOW), 1) == ["p"] for _ in range(20))


def test_two_patients_who_turn_out_to_be_one_are_one() -> None:
    random, crowd = Random(41), Crowd(TERMS)
    facts = known(*record(random, 1))
    for one in (person("p", facts), person("q", facts), person("q", facts, "p")):
        crowd.learn(one, {}, day(NOW))
    assert crowd.likely(drawn(random), day(NOW), 1) == ["q"]


def test_whose_consents_name_a_study_is_judged_one_by_one() -> None:
    random, crowd = Random(43), Crowd(TERMS)
    study = drawn(random)
    places = every_place([study])
    while not fails(study, facts := known(*record(random, 1)), TERMS, NOW):
        pass
    for named in (frozenset({study.id}), frozenset({"another"})):
        crowd.learn(person("p", facts, named=named), places, day(NOW))
        assert crowd.likely(study, day(NOW), 1) == (["p"] if study.id in named else [])


def test_what_stands_for_many_does_not_tell_whose_it_was() -> None:
    """Whoever withdraws their consent may have been the first of some who are alike."""
    random, crowd = Random(47), Crowd(TERMS)
    places = every_place([drawn(random) for _ in range(60)])
    people = [known(*record(random, number)) for number in range(PEOPLE)]
    for number, facts in enumerate(people):
        crowd.learn(person(f"p{number}", facts), places, day(NOW))
    kept = repr([one.facts for column in crowd._columns.values() for one in column.shared if one is not None])
    assert "Diagnosis(" in kept
    for told in ("/_history/", "1960-05-01", "2008-06-02", repr(people[0].id)):
        assert told in repr(people)
        assert told not in kept


def test_places_that_no_study_looks_at_are_let_go() -> None:
    random, crowd = Random(53), Crowd(TERMS)
    places = every_place([drawn(random) for _ in range(40)])
    crowd.learn(person("p", known(*record(random, 1))), places, day(NOW))
    at, leaf = next(iter(places.items()))
    crowd.only({at})
    assert crowd.index(leaf) is not None
    assert [crowd.index(other) for key, other in places.items() if key != at] == [None] * (len(places) - 1)


def test_more_than_are_asked_for_are_nobody() -> None:
    random, crowd = Random(59), Crowd(TERMS)
    for number in range(3):
        crowd.learn(person(f"p{number}", known(*record(random, number))), {}, day(NOW))
    assert len(crowd.likely(drawn(random), day(NOW), 3)) == 3
    assert crowd.likely(drawn(random), day(NOW), 2) == []
