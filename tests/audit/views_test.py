"""A view is an access to the data of all whose resources it was made of. https://profiles.ihe.net/ITI/BALP/"""

from tests.audit.trail import Trail, interaction, named
from tests.audit.trail_test import observation

VIEW = {
    "resourceType": "ViewDefinition",
    "resource": "Observation",
    "select": [{"column": [{"name": "code", "path": "code.text"}]}],
    "where": [{"path": "subject.getReferenceKey(Patient) = 'p1'"}],
}


def test_patients_are_told_of_a_view_in_which_no_column_names_them(trail: Trail) -> None:
    ehr = trail.bearer()
    for id in ("p1", "p2"):
        trail.put(ehr, "Patient", id)
        trail("POST", "Observation", observation(id), headers=ehr)
    answer = trail("POST", "ViewDefinition/$viewdefinition-run?_format=csv", VIEW, headers=ehr)
    assert answer.text == "code\r\nx\r\n"
    found = [one for one in trail.events() if interaction(one) == "viewdefinition-run"]
    assert [named(one, "1") for one in found] == [["Patient/p1"]]
