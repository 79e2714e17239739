"""What a curator is told of criteria: why they cannot be judged, and what is likely wrong. See docs/matching.md"""

import asyncio
from collections.abc import Iterator, Mapping

from fhir_server.access import Caller, restrict
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import Issue
from fhir_server.fhir.references import parse
from fhir_server.interactions.profiles import THREAD
from fhir_server.matching.criteria import compile_study, group_references
from fhir_server.matching.lint import lint
from fhir_server.search.predicate import ID, Is
from fhir_server.server import Server
from fhir_server.store.seam import Query
from fhir_server.terminology.codes import Terminology

Groups = Mapping[str, tuple[Resource, int]]
MOST = 200  # Groups of a study that are read


async def advised(server: Server, caller: Caller, resource: Resource) -> list[Issue]:
    """Warnings about eligibility criteria; none for what has none. Only Groups that the caller may see are read."""
    if resource.get("resourceType") == "Group":
        if resource.get("actual") is not False or resource.get("type") != "person":
            return []
        named = f"Group/{resource.get('id', 'this')}"
        study: Resource = {"resourceType": "ResearchStudy", "id": "this", "enrollment": [{"reference": named}]}
        own = {named: ({"id": "this", **resource}, 1)}
    else:
        study, own = {"id": "this", **resource}, {}
    groups = await _groups(server, caller, [*group_references(study), *group_references(resource)], own)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(THREAD, advice, study, groups, server.terminology)


def advice(study: Resource, groups: Groups, terminology: Terminology) -> list[Issue]:
    """The warnings about a study with its Groups by reference."""
    compiled = compile_study({**study, "status": "active"}, 1, groups.get, terminology)
    paths = {id: path for group, _ in groups.values() for id, path in _paths(group)}
    issues = [
        Issue("not-supported", f"{problem.where}: {problem.text}.", (problem.path,) if problem.path else (), "warning")
        for problem in compiled.problems
        if study.get("enrollment")
    ]
    for one in lint(compiled, terminology):
        where = tuple(paths[id] for id in one.criteria if id in paths)
        issues.append(Issue("business-rule", one.text, where, "warning"))
    return issues


def _paths(group: Resource) -> Iterator[tuple[str, str]]:
    """Where the criteria of a Group stand, by id."""
    held = enumerate(group.get("contained", ()))
    for path, one in (("Group", group), *((f"Group.contained[{n}]", inner) for n, inner in held)):
        for number, characteristic in enumerate(one.get("characteristic", ())):
            if "id" in characteristic:
                yield characteristic["id"], f"{path}.characteristic[{number}]"


async def _groups(
    server: Server, caller: Caller, references: list[str], own: dict[str, tuple[Resource, int]]
) -> dict[str, tuple[Resource, int]]:
    found, open_ = dict(own), references
    while open_ and len(found) < MOST:
        text = open_.pop()
        target = parse(text, server.settings.base)
        if text in found or target.type != "Group":
            continue
        where = restrict(Is(ID, (("id", "=", target.id),)), caller, ("Group",))
        rows = (await server.store.search(Query(("Group",), where, count=1))).rows
        if rows:
            group = codec.decode(rows[0].body)
            found[text] = group, rows[0].version
            open_ += group_references(group)
    return found
