"""The rows of R4's page on search. https://hl7.org/fhir/R4/search.html"""

from tests.conformance.row import Row, no, partly, search, yes

PAGES, PAGING = "interactions/search_test.py::", "interactions/paging_test.py::"
TERMS, MODIFIERS = "interactions/terminology_search_test.py::", "search/modifiers_test.py::"
ORACLE = "search_oracle/agree_test.py::test_a_sample_of_queries"
REFUSED = "conformance/http_test.py::test_what_is_not_supported_is_refused"


def prefix(name: str, *kinds: str) -> Row:
    return yes(f"prefix `{name}`", *search(*(f"{kind} {name}" for kind in kinds)))


SEARCH: dict[str, tuple[Row, ...]] = {
    "Introduction": (
        yes("`GET [base]/[type]?...`", *search("one type")),
        yes(
            "`POST [base]/[type]/_search`, with parameters of the URL too",
            PAGES + "test_self_link_and_post_search_give_the_same",
        ),
        yes(
            "a POST in another format than a form is 415",
            "conformance/http_test.py::test_a_search_by_get_or_post_of_form_alone",
        ),
        yes("`GET [base]?_type=...`, all types", *search("several types", "all types"), PAGES + "test_all_types"),
        yes("`[base]/[compartment]/[id]/[type]`", *search("a compartment", "a compartment of an Encounter")),
        yes(
            "`[base]/[compartment]/[id]/*`",
            *search(
                "all of a compartment",
                "some types of a compartment",
                "all of a compartment that meets",
                "all of a compartment in order",
                "all of the compartment of a Practitioner",
                "no type of a compartment",
                "all of what has no compartment",
            ),
            PAGES + "test_pages_of_all_of_a_compartment",
        ),
        yes("a parameter that repeats: and", *search("and", "and of the same parameter")),
        yes("a comma: or", *search("or")),
        yes(
            "escapes `\\,` `\\|` `\\$` `\\\\`",
            *search("escaped comma", "escaped bar", "escaped dollar", "escaped backslash"),
        ),
        yes("generated searches of all kinds agree on SQLite, MongoDB and an oracle", ORACLE),
    ),
    "Handling errors": (
        yes("unknown or unsupported parameters are 400", *search("unknown parameter", "unknown modifier")),
        yes(
            "`Prefer: handling=lenient` ignores them, and leaves them out of `self`",
            "conformance/http_test.py::test_lenient_handling_leaves_what_is_unknown_out_of_self",
        ),
        yes("values that make no sense are 400", *search("bad value", "unknown prefix")),
        yes(
            "a parameter without a value is 400, or ignored under lenient handling",
            *search("empty value"),
            "search/parse_test.py::test_lenient_leaves_out_the_unknown_but_not_the_wrong",
        ),
        yes(
            "an OperationOutcome of warnings in the Bundle, `search.mode` outcome",
            PAGES + "test_too_many_includes_are_cut_and_said",
        ),
        yes(
            "a resource that may not be seen is not found, not counted and not reachable by a chain",
            "access/leak_test.py",
        ),
    ),
    "Parameters of all resources": (
        yes("`_id`", *search("_id")),
        yes("`_lastUpdated`", *search("_lastUpdated", "_lastUpdated of the future")),
        yes("`_tag`", *search("_tag")),
        yes("`_profile`", *search("_profile")),
        yes("`_security`", *search("_security")),
        yes("`_source`", *search("_source")),
        yes("`_text`", *search("_text")),
        yes("`_content`", *search("_content")),
        partly(
            "`_list`", *search("_list", "functional _list"), note="ids of Lists; no functional lists (`$current-...`)"
        ),
        yes("`_has`, nested too", *search("_has", "nested _has", "_has and more")),
        yes("`_type`", *search("several types")),
        no("`_query`", *search("_query"), note="there are no named queries"),
        yes("`_filter`", *search("_filter"), MODIFIERS + "test_filters"),
        yes(
            "custom SearchParameter resources, after `$reindex`",
            "operations/reindex_test.py::test_a_parameter_is_searched_after_reindex_everywhere",
        ),
    ),
    "Types of parameters": (
        yes(
            "number: precision and exponents",
            *search("number", "number with precision", "number with more precision", "number with exponent"),
        ),
        yes(
            "date: all precisions, offsets; date, dateTime, instant, Period, Timing",
            *search(
                "date",
                "date of less precision",
                "dateTime with offset",
                "instant",
                "Period with an open end",
                "Timing",
                "date of a boolean choice",
            ),
        ),
        yes(
            "string: a beginning, without case and accents",
            *search("string", "string is folded", "string is a beginning"),
        ),
        yes("string: HumanName and Address by their parts", *search("string of a whole name", "string of an address")),
        yes(
            "token: `code`, `system|code`, `|code`, `system|`",
            *search("token any system", "token system and code", "token without system", "token any code"),
        ),
        yes(
            "token: Coding, CodeableConcept, Identifier, ContactPoint, code, boolean",
            *search(
                "token Coding",
                "token system and code",
                "token Identifier",
                "token ContactPoint",
                "token code",
                "token boolean",
            ),
        ),
        yes(
            "reference: id, `type/id`, our URL, another's URL",
            *search("reference by id", "reference by type and id", "reference by our URL", "reference by another URL"),
        ),
        yes(
            "reference: canonical, with version",
            *search("canonical", "canonical with version", "canonical with another version"),
        ),
        yes(
            "reference to a version counts as one to the resource",
            "conformance/http_test.py::test_references_to_versions_and_fragments_are_kept",
        ),
        yes(
            "quantity: `number`, `number|system|code`, `number||code`",
            *search("quantity", "quantity with unit", "quantity with code only"),
        ),
        partly(
            "quantity: UCUM conversion",
            *search("quantity in another unit"),
            MODIFIERS + "test_units_are_converted",
            note="the units that occur in practice, listed in `fhir/ucum.py`",
        ),
        yes("uri", *search("uri", "uri is exact")),
        partly(
            "composite",
            *search(
                "composite token and quantity",
                "composite in one component",
                "composite across components",
                "composite token and token",
                "composite of code and component",
            ),
            note="a token within needs a code",
        ),
        yes("special: `near` of Location", *search("near"), MODIFIERS + "test_near_finds_all_within_and_little_beyond"),
    ),
    "Prefixes": (
        prefix("ne", "number", "date", "quantity"),
        prefix("gt", "number", "date", "quantity"),
        prefix("lt", "number", "date", "quantity"),
        prefix("ge", "number", "date", "quantity"),
        prefix("le", "number", "date", "quantity"),
        prefix("sa", "number", "date", "quantity"),
        prefix("eb", "number", "date", "quantity"),
        prefix("ap", "number", "date", "quantity"),
        yes(
            "prefix `eq`, and none",
            *search(
                "date eq of a day in a period", "date eq of the month", "date eq of the year", "number", "quantity"
            ),
        ),
        yes(
            "what a prefix means for ranges, against its definition",
            "search/meaning_test.py::test_date",
            "search/meaning_test.py::test_period",
            "search/meaning_test.py::test_number",
        ),
    ),
    "Modifiers": (
        yes(
            "`:missing` of every type",
            *search(
                ":missing of a token",
                ":missing=false",
                ":missing of a reference",
                ":missing of a date",
                ":missing of a quantity",
            ),
        ),
        yes("string `:exact`", *search("string :exact", "string :exact keeps case")),
        yes("string `:contains`", *search("string :contains")),
        yes("token `:text`", *search("token :text")),
        yes("token `:not`", *search("token :not")),
        partly(
            "token `:above`, `:below`",
            *search("token :above", "token :below"),
            TERMS + "test_hierarchies",
            note="in code systems that are loaded; others are refused",
        ),
        partly(
            "token `:in`, `:not-in`",
            *search("token :in", "token :not-in", "token :in of an unknown set"),
            TERMS + "test_value_sets",
            note="at most 25,000 codes or whole systems; no filters by regular expression",
        ),
        yes("token `:of-type`", *search("token :of-type")),
        yes("reference `:[type]`", *search("reference :[type]")),
        yes("reference `:identifier`", *search("reference :identifier")),
        partly(
            "reference `:above`, `:below`",
            *search("reference :above", "reference :below"),
            TERMS + "test_parts_of_places",
            note="Location, Organization, Encounter and Task",
        ),
        yes("canonical `:below` a version", *search("canonical :below")),
        yes("uri `:above`, `:below`", *search("uri :above", "uri :below")),
    ),
    "Chaining": (
        yes("chain with a type", *search("chain")),
        yes("chain without a type", *search("untyped chain")),
        partly("chain of several steps", *search("chain of several steps"), note="at most 10"),
        yes(
            "chain that ends in `_has`, a modifier, or a parameter of all types",
            *search("chain to _has", "chain with :missing", "chain to another parameter of all"),
        ),
        yes("reverse chaining `_has`", *search("_has", "nested _has")),
    ),
    "Results": (
        yes(
            "`_sort`, `-` for descending, several",
            *search("_sort", "_sort descending", "_sort of several", "_sort by _id"),
        ),
        no(
            "`_sort=_score`, `search.score`",
            *search("_sort by relevance"),
            note="matches are exact, none is more relevant",
        ),
        yes(
            "`_count`, and what exceeds the maximum is cut",
            PAGES + "test_pages_hold_everything_once",
            PAGES + "test_huge_counts_are_cut",
        ),
        yes("`_count=0` as `_summary=count`", PAGES + "test_totals"),
        yes("`_total=none`, `estimate`, `accurate`", PAGES + "test_totals", note="`estimate` is exact"),
        partly(
            "paging: `self` and `next`",
            PAGES + "test_pages_hold_everything_once",
            PAGING + "test_a_walk_meets_what_stayed_once_and_what_moved_at_most_once",
            note="no `first`, `previous`, `last`",
        ),
        yes(
            "`_include`, with a target type, several",
            *search("_include", "_include of a type", "_include of several", "a wrong _include"),
        ),
        yes("`_include=*`, `_include:iterate`", *search("_include=*", "_include:iterate")),
        yes("`_revinclude`, `:iterate`", *search("_revinclude", "_revinclude of Provenance", "_revinclude:iterate")),
        yes("each resource once, matches before included", *search("a resource once")),
        partly(
            "`_contained=true|both`, `_containedType`",
            *search(
                "_contained=false",
                "_contained=true",
                "_contained=true of one and the same",
                "_contained=true and not",
                "_contained=true of another type",
                "_contained=true without criteria",
                "_contained=true by id",
                "_contained=true of none",
                "_contained=both",
                "_contained=both and more",
                "_containedType",
                "_containedType of both",
                "_contained with an _include",
                "_contained and a chain",
                "_contained and _sort",
                "_contained without a type",
                "_contained of nonsense",
            ),
            PAGES + "test_pages_and_totals_of_contained_resources",
            "access/leak_test.py",
            note="no chains, `_has`, `_list`, `_sort` or compartment beside it",
        ),
        yes("`_summary` true, text, data, count, false", PAGES + "test_parts_of_resources", PAGES + "test_totals"),
        yes("`_elements`", PAGES + "test_parts_of_resources"),
        yes("the `self` link says what was searched", PAGES + "test_self_link_and_post_search_give_the_same"),
        no("GraphQL", REFUSED + "[GraphQL]", note="not part of these pages' interactions; 404"),
    ),
}
