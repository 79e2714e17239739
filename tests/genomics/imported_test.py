"""What is imported from a VCF is found, at its place and by any notation. docs/genomics-operations.md"""

from tests.client import Client
from tests.genomics import world as w
from tests.genomics.find_test import told
from tests.genomics.vcf_test import converted, vcf

CHR7, CHR13 = "NC_000007.14", "NC_000013.11"


def test_variants_of_a_file_are_found(client: Client) -> None:
    content = vcf(
        "chr7 55191822 . T G 60 PASS . GT 0/1",
        "chr7 55174771 . AGGAATTA A 60 PASS . GT 0/1",
        "chr13 1001 . N <DEL> 60 PASS SVTYPE=DEL;END=2000;CIPOS=-10,10;CIEND=-10,10 GT 0/1",
    )
    resources, _ = converted(content, studied={"7": [(55_000_000, 56_000_000)]})
    w.fill(client, w.patient("p"), *resources)

    def there(operation: str, query: str) -> bool:
        (one,) = told(client, f"$find-subject-{operation}?subject=p&{query}")
        return bool(one["presence"])

    for text in (f"{CHR7}:55191821:T:G", f"{CHR7}:g.55191822T>G", f"{CHR7}:g.55174772_55174778del"):
        assert there("specific-variants", f"variants={text}"), text
    assert not there("specific-variants", f"variants={CHR7}:55191821:T:C")
    assert there("variants", f"ranges={CHR7}:55191821-55191822")
    assert not there("variants", f"ranges={CHR7}:55191822-55191823")
    assert not there("variants", f"ranges={CHR13}:1000-2000")
    assert there("structural-subsuming-variants", f"ranges={CHR13}:1100-1900")
    assert not there("structural-subsuming-variants", f"ranges={CHR13}:1001-1900"), "an end that is not sure"
    assert there("structural-intersecting-variants", f"ranges={CHR13}:992-993")
    assert not there("structural-intersecting-variants", f"ranges={CHR13}:900-980")
    (test,) = told(client, f"$find-study-metadata?subject=p&ranges={CHR7}:55191000-55192000")
    assert test["regionStudied"] == f"{CHR7}:55191000-55192000"
    assert test["genomicBuild"]["coding"][0]["display"] == "GRCh38"
