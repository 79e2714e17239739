"""Narratives: the XHTML that R4 allows, and nothing that a browser would run. https://hl7.org/fhir/R4/narrative.html"""

import pytest

from fhir_server.validation.problem import Scope
from fhir_server.validation.xhtml import check_xhtml


def div(inside: str, attributes: str = ' xmlns="http://www.w3.org/1999/xhtml"') -> str:
    return f"<div{attributes}>{inside}</div>"


@pytest.mark.parametrize(
    "text",
    [
        div("plain"),
        div("<p>a <b>bold</b><br/> word</p>"),
        div('<table class="grid"><tr><td style="color:red" colspan="2">x</td></tr></table>'),
        div('<a href="Patient/1">x</a><a name="y"/>'),
        div('<img src="#picture" alt="x"/>'),
        div("&amp;&lt;&#160;é"),
        div("<!-- a note -->x"),
        div('<p xml:lang="de" lang="de">x</p>'),
        "\n" + div("x") + "\n",
    ],
)
def test_accepts(text: str) -> None:
    assert not check_xhtml(text, Scope({}, 0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "<p>x</p>",
        div("x", ""),
        div("x", ' xmlns="http://example.org"'),
        div(""),
        div("  <p> \n </p> <!-- x -->"),
        div("<p>x"),
        div("x") + div("x"),
        div("&nbsp;"),
        div("<script>alert(1)</script>"),
        div("<SCRIPT>alert(1)</SCRIPT>"),
        div('<p onclick="alert(1)">x</p>'),
        div('<a href="javascript:alert(1)">x</a>'),
        div('<a href=" java\tscript:alert(1)">x</a>'),
        div('<a href="&#106;avascript:alert(1)">x</a>'),
        div('<iframe src="x"/>x'),
        div("<form>x</form>"),
        div("<style>x</style>"),
        div('<svg xmlns="http://www.w3.org/2000/svg">x</svg>'),
        div('<p xmlns="http://www.w3.org/2000/svg">x</p>'),
        div('<x:script xmlns:x="http://www.w3.org/1999/xhtml">x</x:script>'),
        div("<![CDATA[><script>alert(1)</script>]]>x"),
        div("<!--><script>alert(1)</script>-->x"),
        div("<?php x ?>x"),
        div("a \x0b"),
        '<!DOCTYPE div [<!ENTITY x "y">]>' + div("&x;"),
        '<?xml version="1.0"?>' + div("x"),
        "<div " * 10_000,
    ],
)
def test_refuses(text: str) -> None:
    (problem,) = check_xhtml(text, Scope({}, 0)) or ()
    assert problem.code == "value"


def test_depth_is_no_danger() -> None:
    assert not check_xhtml(div("<b>" * 50_000 + "x" + "</b>" * 50_000), Scope({}, 0))
