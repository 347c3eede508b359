"""The examples of docs/deployment.md for other tools work: they are taken from the document and run, or parsed."""

import json
import os
import re
import subprocess

import hcl2
import pytest
from samcli.yamlhelper import yaml_parse
from stack import PLAIN_TEXT, ROOT, TEMPLATES, Stack
from test_documents import blocks, section

GUIDE = (ROOT / "docs" / "deployment.md").read_text()
PLAIN = TEMPLATES["template-cfn.yaml"]
REQUIRED = {name for name, parameter in PLAIN["Parameters"].items() if "Default" not in parameter} | {"CodePipelineName"}


def example(heading, language):
    (block,) = blocks(section(GUIDE, heading), language)
    return block


def unquoted(node):
    """The parsed file without the quotation marks that the parser leaves around texts and labels."""
    if isinstance(node, list):
        return [unquoted(item) for item in node]
    if isinstance(node, dict):
        return {key.strip('"'): unquoted(value) for key, value in node.items()}
    return node.strip('"') if isinstance(node, str) else node


def test_the_terraform_example_gives_the_parameters_and_leaves_the_rules_tags_alone():
    resources = unquoted(hcl2.loads(example("Terraform", "hcl"))["resource"])
    (stack,) = [resource["aws_cloudformation_stack"]["drift_router"] for resource in resources if "aws_cloudformation_stack" in resource]
    assert set(stack["parameters"]) == REQUIRED | {"Mode"}
    # The template is larger than a request may be, so it comes from S3.
    assert "template_body" not in stack and stack["template_url"].startswith("https://nyctaxi-code.s3.")
    assert stack["capabilities"] == ["CAPABILITY_IAM"]
    (lifecycle,) = stack["lifecycle"]
    assert lifecycle["ignore_changes"] == ["tags", "tags_all"]


def test_the_projects_template_gives_the_parameters():
    nested = yaml_parse(example("Service Catalog and SageMaker Projects", "yaml"))["DriftRouter"]
    given = nested["Properties"]["Parameters"]
    assert set(given) == REQUIRED | {"Mode", "SageMakerProjectName", "SageMakerProjectId"}
    assert nested["Properties"]["TemplateURL"].endswith("/template-cfn.yaml")


@pytest.mark.parametrize("heading, command", [("The CloudFormation console", "deploy"), ("StackSets", "create-stack-set")])
def test_the_commands_give_the_parameters(heading, command):
    (script,) = blocks(section(GUIDE, heading), "sh")
    calls = re.split(r"^aws cloudformation ", script, flags=re.MULTILINE)
    (call,) = [call for call in calls if call.startswith(command + " ")]
    given = set(re.findall(r"ParameterKey=(\w+)|(?<![\w-])([A-Z]\w+)=", call))
    given = {one or other for one, other in given} - {"ParameterValue", "Active"}
    assert given | {"CodePipelineName"} == REQUIRED | {"Mode"}
    assert "CAPABILITY_IAM" in call and "CAPABILITY_AUTO_EXPAND" not in call


def test_the_cdk_example_is_synthesised_to_the_same_resources(tmp_path, monkeypatch):
    python = ROOT / "target" / "ci-cdk" / "bin" / "python"
    assert python.exists(), f"no {python}: run bash .ci/environment target/ci-cdk .ci/requirements-cdk.txt"
    (tmp_path / "app.py").write_text(example("CDK", "python"))
    (tmp_path / "template-cfn.yaml").write_text(PLAIN_TEXT)
    (tmp_path / "drift-router-arm64.zip").write_bytes(b"the function")
    environment = os.environ | {"CDK_OUTDIR": str(tmp_path / "out")}
    run = subprocess.run([python, "app.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stderr[-2000:]
    synthesised = json.loads((tmp_path / "out" / "nyctaxi.template.json").read_text())

    def deployed(template):
        monkeypatch.setattr(Stack, "template", template)
        # The CDK writes the values of the example into its template.
        stack = Stack(**{name: "dry-run" for name in template["Parameters"] if name == "Mode"})
        resources = json.loads(json.dumps(stack.resources))
        for resource in resources.values():
            resource.pop("Metadata", None)
            # The CDK sorts these.
            resource.get("DependsOn", []).sort()
            resource["Properties"].get("Tags", []).sort(key=lambda tag: tag["Key"])
        return resources, stack.outputs

    expected, outputs = deployed(PLAIN)
    # The CDK's rule about its own bootstrap stack reads AWS, and so does the type of this parameter.
    synthesised["Parameters"].pop("BootstrapVersion")
    found, found_outputs = deployed(synthesised)
    assert re.fullmatch(r"[0-9a-f]{64}\.zip", found["Function"]["Properties"].pop("Code")["S3Key"])
    expected["Function"]["Properties"].pop("Code")
    assert set(found) == set(expected)
    differences = {name for name in expected if found[name] != expected[name]}
    assert not differences, {name: (found[name], expected[name]) for name in differences}
    assert {name: str(value) for name, value in found_outputs.items()} == {name: str(value) for name, value in outputs.items()}
