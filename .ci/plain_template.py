"""Translates template.yaml into a template without SAM's transform: `python3 .ci/plain_template.py VERSION > template-cfn.yaml`.

SAM's own translator does the work, as it does inside CloudFormation. The function's code comes from an S3 object that the template's
parameters name. The result has no aliases of YAML, which CloudFormation does not read.
"""

import json
import os
import re
import sys
from pathlib import Path

import yaml
from samcli.yamlhelper import yaml_parse

# The translator asks boto3 for a Region. None of its results that this template uses depends on it.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
from samtranslator.translator.transform import transform  # noqa: E402

# The length, as JSON, up to which a list or a mapping is written in one line.
WIDTH = 100
TEMPLATE = Path(__file__).resolve().parents[1] / "template.yaml"

CODE = {
    "CodeBucket": {
        "Type": "String",
        "Description": "The S3 bucket, in the stack's Region, to which you uploaded the function's zip file of the release.",
        "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    },
    "CodeKey": {
        "Type": "String",
        "Description": (
            "The zip file's key in that bucket, such as drift-router/0.3.0/drift-router-arm64.zip. Use a new key, or a new CodeVersion, for"
            " each release: CloudFormation does not see that an object's content has changed."
        ),
        "AllowedPattern": "^.+\\.zip$",
        "MaxLength": 1024,
    },
    "CodeVersion": {
        "Type": "String",
        "Description": "The version id of the zip file, if the bucket has versions. Empty: the newest version.",
        "Default": "",
        "MaxLength": 1024,
    },
}


class NoManagedPolicies:
    """The template's role has policies of its own only."""

    def load(self):
        return {}


def translated():
    """template.yaml as plain CloudFormation."""
    template = yaml_parse(TEMPLATE.read_text())
    no_value = {"Ref": "AWS::NoValue"}
    version = {"Fn::If": ["HasCodeVersion", {"Ref": "CodeVersion"}, no_value]}
    function = template["Resources"]["Function"]
    function["Properties"]["CodeUri"] = {"Bucket": {"Ref": "CodeBucket"}, "Key": {"Ref": "CodeKey"}, "Version": version}
    # These members are for `sam build` and the Serverless Application Repository.
    del function["Metadata"]["BuildMethod"], function["Metadata"]["BuildProperties"]
    del template["Metadata"]["AWS::ServerlessRepo::Application"]
    template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"].insert(
        0, {"Label": {"default": "The function's code"}, "Parameters": [*CODE, "Architecture"]}
    )
    for group in template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"][1:]:
        group["Parameters"] = [name for name in group["Parameters"] if name != "Architecture"]
    template["Parameters"] = {**CODE, **template["Parameters"]}
    template["Parameters"]["Architecture"]["Description"] = "The function's processor: the one in the zip file's name."
    template["Conditions"]["HasCodeVersion"] = {"Fn::Not": [{"Fn::Equals": [{"Ref": "CodeVersion"}, ""]}]}

    plain = transform(template, {}, NoManagedPolicies())
    # SAM marks what it deploys. It does not deploy this.
    tags = plain["Resources"]["Function"]["Properties"]["Tags"]
    tags.remove({"Key": "lambda:createdBy", "Value": "SAM"})
    # SAM copies the function's metadata to the configuration of its invocations, and puts both at the end.
    on_failure = plain["Resources"].pop("FunctionEventInvokeConfig")
    del on_failure["Metadata"]
    function = plain["Resources"].pop("Function")
    plain["Resources"] = {"Function": function, "FunctionEventInvokeConfig": on_failure, **plain["Resources"]}
    return plain


class Dumper(yaml.SafeDumper):
    """Writes functions of CloudFormation in their short form, and texts of several lines as blocks."""

    def ignore_aliases(self, data):
        return True

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def choose_scalar_style(self):
        """Leaves out quotation marks behind a tag, as without one."""
        style = super().choose_scalar_style()
        plain = self.analysis.allow_flow_plain if self.flow_level else self.analysis.allow_block_plain
        return "" if style == "'" and plain and self.event.tag.startswith("!") else style

    def represent_data(self, data):
        """Writes a short list or mapping in one line."""
        node = super().represent_data(data)
        if isinstance(node, yaml.CollectionNode):
            children = [child for pair in node.value for child in (pair if isinstance(pair, tuple) else [pair])]
            in_one_line = all(child.style != "|" if isinstance(child, yaml.ScalarNode) else child.flow_style for child in children)
            # The functions that make a name lower case are nested deeply: indented, they would take a hundred lines.
            node.flow_style = in_one_line and (len(json.dumps(data)) <= WIDTH or node.tag in ["!Join", "!Split"])
        return node


def represent_text(dumper, text):
    # Some parsers take a single y or n for a truth value.
    style = "|" if "\n" in text else "'" if len(text) == 1 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def represent_mapping(dumper, mapping):
    if len(mapping) == 1:
        ((name, argument),) = mapping.items()
        tag = "!" + name.removeprefix("Fn::")
        # In a policy or a resource, "Condition" is an ordinary member whose value is no name, or not alone.
        if name == "Ref" or name == "Condition" and isinstance(argument, str):
            return dumper.represent_scalar(tag, argument)
        if name == "Fn::GetAtt":
            return dumper.represent_scalar(tag, ".".join(argument))
        if name.startswith("Fn::"):
            if isinstance(argument, str):
                return dumper.represent_scalar(tag, argument)
            return dumper.represent_sequence(tag, argument)
    return dumper.represent_mapping("tag:yaml.org,2002:map", mapping.items())


Dumper.add_representer(str, represent_text)
Dumper.add_representer(dict, represent_mapping)


def as_yaml(version):
    heading = (
        f"# drift-router {version} as plain CloudFormation: it needs no transform and no SAM. docs/deployment.md describes how to use it.\n"
    )
    text = yaml.dump(translated(), Dumper=Dumper, sort_keys=False, width=10_000)
    # An empty line before each section, parameter and resource.
    return heading + re.sub(r"\n(?=[A-Z]\w+:|  [A-Z]\w+:\n)", "\n\n", text)


if __name__ == "__main__":
    sys.stdout.write(as_yaml(sys.argv[1]))
