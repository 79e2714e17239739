"""The select of a view, compiled: columns, forEach, unionAll and repeat. https://sql-on-fhir.org/ig/processing_model.html"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import prod
from typing import Any, NamedTuple

from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.fhirpath.expr import Expr, Run, entire, focus, listed, single
from fhir_server.fhirpath.path import ROW_INDEX, Compiler
from fhir_server.fhirpath.values import failed

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
MOST_ROWS = 100_000  # of one resource
DEEPEST = 20  # selects inside each other
MOST_COLUMNS = 1000
PREFIX = "http://hl7.org/fhir/StructureDefinition/"

Row = tuple[Any, ...]
Rows = Callable[[Any, int], list[Row]]  # (what the select is about, %rowIndex) -> its rows


class Column(NamedTuple):
    """A column of the result; `type` is the code of a FHIR type, "" if it is not known."""

    name: str
    type: str
    collection: bool
    tags: Mapping[str, str] = {}


class Part(NamedTuple):
    """What a select gives: its columns, its rows, and the row in place of none (forEachOrNull)."""

    columns: tuple[Column, ...]
    rows: Rows
    null: Row


def wrong(text: str, at: str, code: str = "invalid") -> FhirError:
    """The 422 of a view that is none."""
    return refuse(422, code, f"The ViewDefinition is invalid: {at}: {text}", at)


def compiled(compiler: Compiler, text: Any, about: Expr, at: str) -> Expr:
    """An expression of a view. Raises FhirError 422 that names its place."""
    if not isinstance(text, str) or not text.strip():
        raise wrong("a FHIRPath expression is expected.", at)
    try:
        return compiler.compile(text, about)
    except ValueError as error:
        raise wrong(f"{text[:200]!r} {error}.", at) from None
    except RecursionError:
        raise wrong(f"{text[:200]!r} is nested too deeply.", at) from None


def listed_in(holder: Mapping[str, Any], key: str, at: str) -> list[tuple[Mapping[str, Any], str]]:
    """The objects under a key, each with its place. Raises FhirError 422 if they are none."""
    found = holder.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise wrong("an array of objects is expected.", f"{at}.{key}")
    return [(one, f"{at}.{key}[{number}]") for number, one in enumerate(found)]


def selected(compiler: Compiler, select: Mapping[str, Any], about: Expr, at: str, depth: int = 0) -> Part:
    """One select. Raises FhirError 422 for what is none."""
    if depth > DEEPEST:
        raise wrong(f"selects are nested more than {DEEPEST} deep.", at)
    each = [key for key in ("forEach", "forEachOrNull", "repeat") if key in select]
    if len(each) > 1:
        raise wrong(f"{' and '.join(each)} exclude each other.", at)
    inner, over = about, None
    if each:
        over, inner = _iterated(compiler, select[each[0]], about, f"{at}.{each[0]}", each[0])
    parts = [_columns(compiler, select, inner, at)] if "column" in select else []
    parts += [selected(compiler, one, inner, place, depth + 1) for one, place in listed_in(select, "select", at)]
    if union := listed_in(select, "unionAll", at):
        parts.append(_union([selected(compiler, one, inner, place, depth + 1) for one, place in union], at))
    if not parts:
        raise wrong("a select has column, select or unionAll.", at)
    whole = joined(parts, at)
    return whole if over is None else _repeated(whole, over, each[0] == "forEachOrNull")


def _iterated(compiler: Compiler, said: Any, about: Expr, at: str, how: str) -> tuple[Run, Expr]:
    """What a select goes through, and what its columns are about."""
    if how != "repeat":
        found = compiled(compiler, said, about, at)
        return listed(found), focus(found.type, found.structure)
    if not isinstance(said, list) or not said:
        raise wrong("an array of FHIRPath expressions is expected.", at)
    firsts = [compiled(compiler, text, about, f"{at}[{n}]") for n, text in enumerate(said)]
    # What is found the first time is gone through with expressions of its own type: QuestionnaireResponse.item.item.
    known = next((one for one in firsts if one.structure), firsts[0])
    inner = focus(known.type, known.structure)
    then = [listed(compiled(compiler, text, inner, f"{at}[{n}]")) for n, text in enumerate(said)]
    begin = [listed(one) for one in firsts]

    def walk(value: Any, at: int) -> list[Any]:
        found: list[Any] = []
        waiting = [one for run in reversed(begin) for one in reversed(run(value, at))]
        while waiting:
            one = waiting.pop()
            found.append(one)
            if len(found) > MOST_ROWS:
                raise _too_many()
            waiting += [more for run in reversed(then) for more in reversed(run(one, at))]
        return found

    return walk, inner


def _columns(compiler: Compiler, select: Mapping[str, Any], about: Expr, at: str) -> Part:
    columns: list[Column] = []
    runs: list[Run] = []
    nulls: list[Any] = []
    for one, place in listed_in(select, "column", at):
        name, path, collection = one.get("name"), one.get("path"), one.get("collection", False)
        if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > 100:
            raise wrong("the name of a column is of letters, digits and _, and begins with a letter.", f"{place}.name")
        if not isinstance(collection, bool):
            raise wrong("collection is true or false.", f"{place}.collection")
        expr = entire(compiler.looked, compiled(compiler, path, about, f"{place}.path"))
        runs.append(listed(expr) if collection else single(expr, f"Column {name}"))
        columns.append(Column(name, _type(one, expr, place), collection, _tags(one, place)))
        nulls.append(0 if str(path).strip() == f"%{ROW_INDEX}" else None)
    if len(runs) == 1:
        only = runs[0]
        return Part(tuple(columns), lambda value, at: [(only(value, at),)], tuple(nulls))
    return Part(tuple(columns), lambda value, at: [tuple([run(value, at) for run in runs])], tuple(nulls))


def _type(column: Mapping[str, Any], expr: Expr, at: str) -> str:
    said = column.get("type", expr.type)
    if not isinstance(said, str):
        raise wrong("the type of a column is a URL or the code of a type.", f"{at}.type")
    return said.removeprefix(PREFIX)


def _tags(column: Mapping[str, Any], at: str) -> dict[str, str]:
    return {str(tag.get("name")): str(tag.get("value")) for tag, _ in listed_in(column, "tag", at)}


def _union(parts: list[Part], at: str) -> Part:
    """The rows of several selects with the same columns."""
    first = parts[0]
    for number, part in enumerate(parts):
        names, others = ([column.name for column in one.columns] for one in (first, part))
        if names != others:
            text = f"the selects of a unionAll need the same columns in the same order: {names} and {others}."
            raise wrong(text, f"{at}.unionAll[{number}]")
        for one, other in zip(first.columns, part.columns, strict=True):
            if one.collection != other.collection or (one.type and other.type and one.type != other.type):
                text = f"column {one.name} has the type {one.type} in one select of a unionAll, {other.type} here."
                raise wrong(text, f"{at}.unionAll[{number}]")
    runs = [part.rows for part in parts]

    def rows(value: Any, at: int) -> list[Row]:
        made: list[Row] = []
        for run in runs:
            made += run(value, at)
            if len(made) > MOST_ROWS:
                raise _too_many()
        return made

    return Part(first.columns, rows, first.null)


def joined(parts: list[Part], at: str) -> Part:
    """Every row of one part beside every row of the others."""
    columns = tuple(column for part in parts for column in part.columns)
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            raise wrong(f"there is more than one column {column.name}.", at)
        seen.add(column.name)
    if len(columns) > MOST_COLUMNS:
        raise wrong(f"more than {MOST_COLUMNS} columns.", at)
    if len(parts) == 1:
        return parts[0]
    runs = [part.rows for part in parts]
    null = tuple(value for part in parts for value in part.null)

    def rows(value: Any, at: int) -> list[Row]:
        found = [run(value, at) for run in runs]
        if prod(map(len, found)) > MOST_ROWS:
            raise _too_many()
        return list(_flat(found))

    return Part(columns, rows, null)


def _flat(found: list[list[Row]]) -> Iterator[Row]:
    for combination in product(*found):
        yield sum(combination, ())


def _repeated(part: Part, over: Run, or_null: bool) -> Part:
    """A part for each of the values of an expression."""
    inner, none = part.rows, [part.null]

    def rows(value: Any, at: int) -> list[Row]:
        found = over(value, at)
        if not found:
            return none if or_null else []
        made: list[Row] = []
        for number, one in enumerate(found):
            made += inner(one, number)
            if len(made) > MOST_ROWS:
                raise _too_many()
        return made

    return part._replace(rows=rows)


def _too_many() -> FhirError:
    return failed(f"The view makes more than {MOST_ROWS:,} rows of one resource.")
