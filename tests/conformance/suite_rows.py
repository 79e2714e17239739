"""What public conformance suites check of an R4 server (Inferno, US Core, the R4 pages): the list R-1 to R-23."""

from tests.conformance.http_rows import BAD, BUNDLE, CLAIMS, FORMATS, HEADERS, SEARCH, WRITE
from tests.conformance.row import Row, partly, search, yes

SUITES: dict[str, tuple[Row, ...]] = {
    "What conformance suites check": (
        yes(
            "R-1 read, vread, 404, 410",
            WRITE + "test_delete_twice_then_gone_then_back",
            BAD + "test_bad_requests_are_refused",
        ),
        yes(
            "R-2 create: 201, Location, ETag; 400 and 422",
            HEADERS + "test_headers_of_a_write_and_a_read",
            BAD + "test_bad_bodies_are_refused_and_leave_no_trace",
        ),
        yes(
            "R-3 update: 200 or 201, body id, stale If-Match 412",
            WRITE + "test_update_creates_then_updates_then_vread_has_both",
            BAD + "test_bad_updates_are_refused",
        ),
        yes(
            "R-4 delete: 204 twice, 410, not found by search, in history",
            WRITE + "test_delete_twice_then_gone_then_back",
            SEARCH + "test_history_pages_newest_first",
        ),
        yes(
            "R-5 patch: both kinds, failing test 422, wrong type 415",
            WRITE + "test_a_refused_patch_changes_nothing",
            "operations/fhirpath_patch_test.py::test_what_cannot_be_applied",
        ),
        yes(
            "R-6 conditional create, update, delete, atomic",
            WRITE + "test_conditional_update",
            "interactions/races_test.py::test_conditional_interactions_of_many_clients_over_two_processes",
        ),
        yes("R-7 conditional read 304", HEADERS + "test_conditional_read"),
        yes("R-8 Prefer return", HEADERS + "test_prefer_return"),
        yes("R-9 Prefer handling, bad values 400", HEADERS + "test_prefer_handling", *search("bad value")),
        yes(
            "R-10 Accept, `_format`, 406, 415, UTF-8",
            FORMATS + "test_accept",
            HEADERS + "test_refused_formats_are_refused_before_anything_is_written",
        ),
        yes(
            "R-11 batch and transaction",
            BUNDLE + "test_batch_entries_stand_alone",
            BUNDLE + "test_references_to_entries_are_rewritten_everywhere",
        ),
        yes(
            "R-12 searchset: links, modes, totals, `_count=0`",
            SEARCH + "test_totals",
            SEARCH + "test_pages_hold_everything_once",
        ),
        yes("R-13 POST search finds what GET finds", SEARCH + "test_self_link_and_post_search_give_the_same"),
        partly(
            "R-14 references as id, `Patient/id`, URL; tokens with and without system",
            *search(
                "reference by id",
                "reference by type and id",
                "reference by our URL",
                "token system and code",
                "token of another case",
            ),
            note="codes are compared with their case, as R4 says of code systems whose case matters",
        ),
        yes("R-15 date comparators", "search/meaning_test.py::test_date", "search/meaning_test.py::test_period"),
        yes("R-16 multiple or, escapes", *search("or", "escaped comma", "escaped backslash")),
        yes(
            "R-17 strings: folded beginnings, `:exact`, `:contains`, no regular expressions",
            *search("string is folded", "string :exact", "string :contains"),
            "search/fuzz_test.py::test_nonsense",
        ),
        yes(
            "R-18 `_revinclude=Provenance:target`, `_include`",
            *search("_revinclude of Provenance", "_include"),
            CLAIMS + "test_every_include_works",
        ),
        yes("R-19 a search without status finds all statuses; references resolve by read", *search("or", "_include")),
        partly(
            "R-20 statuses 400, 404", BAD + "test_bad_requests_are_refused", note="401 and 403 come with SMART on FHIR"
        ),
        yes(
            "R-21 the searches of US Core: every parameter of every type, in any combination",
            CLAIMS + "test_every_search_parameter_of_every_type_is_answered",
            "search_oracle/agree_test.py::test_a_sample_of_queries",
        ),
        partly(
            "R-22 CapabilityStatement",
            "interactions/capabilities_test.py::test_another_implementation_reads_it",
            note="no `supportedProfile` yet",
        ),
        yes(
            "R-23 missing data are never invented: what is sent is what is read",
            WRITE + "test_what_is_sent_is_what_is_read",
        ),
    ),
}
