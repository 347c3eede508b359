"""What is particular to template-cfn.yaml, the template without SAM. The tests of test_template.py read it too."""

import re

import pytest
from stack import PLAIN_TEXT, ROOT, TEMPLATE, TEMPLATES, Stack, accepts

PLAIN = TEMPLATES["template-cfn.yaml"]
NO_VERSION = {"S3Bucket": "nyctaxi-code", "S3Key": "drift-router-arm64.zip"}


@pytest.mark.parametrize("version, code", [("", NO_VERSION), ("3sL4kqtJlcpXroDTDmJ", NO_VERSION | {"S3ObjectVersion": "3sL4kqtJlcpXroDTDmJ"})])
def test_the_code_comes_from_the_object_that_the_parameters_name(monkeypatch, version, code):
    monkeypatch.setattr(Stack, "template", PLAIN)
    assert Stack(CodeVersion=version).properties("Function")["Code"] == code
    assert accepts("CodeBucket", "nyctaxi-code-123456789012") and not accepts("CodeBucket", "s3://nyctaxi-code")
    assert accepts("CodeKey", "drift-router/0.3.0/drift-router-arm64.zip") and not accepts("CodeKey", "drift-router-arm64")


def test_the_template_has_nothing_of_sam_and_everything_else():
    assert "Transform" not in PLAIN and "Serverless" not in PLAIN_TEXT
    # CloudFormation reads no aliases of YAML.
    assert not re.search(r"(: |- |, |\[)[&*]\w", PLAIN_TEXT)
    assert set(PLAIN["Resources"]) == set(TEMPLATE["Resources"]) | {"FunctionEventInvokeConfig"}
    for section in ["Rules", "Mappings", "Outputs"]:
        assert PLAIN[section] == TEMPLATE[section]
    for logical in set(TEMPLATE["Resources"]) - {"Function"}:
        assert PLAIN["Resources"][logical] == TEMPLATE["Resources"][logical], logical
    same = set(TEMPLATE["Parameters"]) - {"Architecture"}
    assert {name: PLAIN["Parameters"][name] for name in same} == {name: TEMPLATE["Parameters"][name] for name in same}


def test_the_template_is_too_large_for_a_request_and_small_enough_for_s3():
    guide = (ROOT / "docs" / "deployment.md").read_text()
    assert "51,200 bytes" in guide and "1 MB" in guide
    assert 51_200 < len(PLAIN_TEXT.encode()) < 1_000_000
