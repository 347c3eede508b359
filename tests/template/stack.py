"""The templates as CloudFormation would deploy them, with its intrinsic functions resolved for given parameters.

Of the public resolvers, moto's CloudFormation has no alarms, and SAM CLI's has no AWS::NoValue. So this module resolves the functions
that the template uses. The logical name of a resource replaces the value that CloudFormation would generate, except for names and
ARNs that follow from the template.
"""

import json
import re
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / ".ci"))
import plain_template  # noqa: E402

# The template without SAM, as .ci/release writes it.
PLAIN_TEXT = plain_template.as_yaml("0.0.0")
TEMPLATE = yaml_parse((ROOT / "template.yaml").read_text())
TEMPLATES = {"template.yaml": TEMPLATE, "template-cfn.yaml": yaml_parse(PLAIN_TEXT)}

# The project of the sample events.
REQUIRED = {
    "ProjectName": "nyctaxi",
    "SageMakerPipelineName": "nyctaxi-pipeline",
    "CodePipelineName": "sagemaker-nyctaxi-build",
}
# What template-cfn.yaml needs besides.
CODE = {"CodeBucket": "nyctaxi-code", "CodeKey": "drift-router-arm64.zip"}
PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "drift-router",
}
NAMES = {
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::Events::Rule": "Name",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Serverless::Function": "FunctionName",
    "AWS::SQS::Queue": "QueueName",
}
NOTHING = object()


def accepts(name, value):
    """Whether CloudFormation accepts the value for the parameter."""
    parameter = Stack.template["Parameters"][name]
    if parameter["Type"] == "Number":
        within = parameter.get("MinValue", value) <= value <= parameter.get("MaxValue", value)
        return within and value in parameter.get("AllowedValues", [value])
    return (
        len(value) <= parameter.get("MaxLength", len(value))
        and value in parameter.get("AllowedValues", [value])
        and re.fullmatch(parameter.get("AllowedPattern", "(?s).*"), value) is not None
    )


class Stack:
    # The fixture `template` of conftest.py sets the other one.
    template = TEMPLATE

    def __init__(self, **parameters):
        defaults = {name: p["Default"] for name, p in self.template["Parameters"].items() if "Default" in p}
        code = CODE if "CodeKey" in self.template["Parameters"] else {}
        self.values = {**PSEUDO_PARAMETERS, **defaults, **REQUIRED, **code, **parameters}
        for name, parameter in self.template["Parameters"].items():
            assert accepts(name, self.values[name]), f"CloudFormation refuses {self.values[name]!r} for {name}"
        deployed = {
            name: resource
            for name, resource in self.template["Resources"].items()
            if "Condition" not in resource or self.condition(resource["Condition"])
        }
        self.resources = {name: {**resource, **self.resolve({"Properties": resource["Properties"]})} for name, resource in deployed.items()}
        self.outputs = {
            name: self.resolve(output["Value"])
            for name, output in self.template["Outputs"].items()
            if "Condition" not in output or self.condition(output["Condition"])
        }

    def refusals(self):
        """Why CloudFormation refuses the parameters: the descriptions of the rules' assertions that do not hold."""
        applies = [rule for rule in self.template["Rules"].values() if self.resolve(rule.get("RuleCondition", True))]
        return [a["AssertDescription"] for rule in applies for a in rule["Assertions"] if not self.resolve(a["Assert"])]

    def properties(self, name):
        return self.resources[name]["Properties"]

    def of_type(self, kind):
        return {name: r["Properties"] for name, r in self.resources.items() if r["Type"] == kind}

    def tags(self, name):
        """The resource's tags by their keys. SAM's function has a mapping."""
        tags = self.properties(name).get("Tags", {})
        return tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}

    def asynchronous(self):
        """How Lambda repeats an asynchronous invocation that fails, and the queue to which it then sends the event."""
        of_sam = self.properties("Function").get("EventInvokeConfig")
        return of_sam or self.properties("FunctionEventInvokeConfig")

    def policy(self, name):
        (policy,) = [p for p in self.properties("Role")["Policies"] if p["PolicyName"] == name]
        return policy["PolicyDocument"]

    def condition(self, name):
        return self.resolve(self.template["Conditions"][name])

    def resolve(self, node):
        if isinstance(node, list):
            return [item for item in map(self.resolve, node) if item is not NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            handler = {
                "Ref": self.ref,
                "Condition": self.condition,
                "Fn::Sub": self.sub,
                "Fn::GetAtt": self.attribute,
                "Fn::If": lambda a: self.resolve(a[1] if self.condition(a[0]) else a[2]),
                "Fn::Equals": lambda a: str(self.resolve(a[0])) == str(self.resolve(a[1])),
                "Fn::Not": lambda a: not self.resolve(a[0]),
                "Fn::And": lambda a: all(map(self.resolve, a)),
                "Fn::Or": lambda a: any(map(self.resolve, a)),
                "Fn::Join": lambda a: a[0].join(self.resolve(a[1])),
                "Fn::Split": lambda a: self.resolve(a[1]).split(a[0]),
                "Fn::Select": lambda a: self.resolve(a[1])[int(a[0])],
                "Fn::FindInMap": lambda a: self.template["Mappings"][a[0]][self.resolve(a[1])][a[2]],
            }.get(function)
            # In a policy, "Condition" is an ordinary member.
            if handler and not (function == "Condition" and isinstance(argument, dict)):
                return handler(argument)
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not NOTHING}

    def ref(self, name):
        if name == "AWS::NoValue":
            return NOTHING
        return self.values[name] if name in self.values else self.name(name)

    def name(self, logical):
        resource = self.template["Resources"][logical]
        return self.resolve(resource["Properties"].get(NAMES.get(resource["Type"]), logical))

    def attribute(self, argument):
        logical, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
        if attribute != "Arn":
            return self.name(logical)
        service = {"AWS::Events::Rule": "events:{}:{}:rule/", "AWS::SQS::Queue": "sqs:{}:{}:"}
        prefix = service.get(self.template["Resources"][logical]["Type"], "something:{}:{}:")
        prefix = prefix.format(self.values["AWS::Region"], self.values["AWS::AccountId"])
        return f"arn:{self.values['AWS::Partition']}:{prefix}{self.name(logical)}"

    def sub(self, argument):
        text, values = argument if isinstance(argument, list) else (argument, {})

        def value(match):
            name = match[1]
            if name in values:
                return str(self.resolve(values[name]))
            return str(self.attribute(name) if "." in name else self.ref(name))

        return re.sub(r"\$\{([A-Za-z0-9:.]+)\}", value, text)


def recorded(kind):
    """The records of the other tests, without duplicates."""
    path = ROOT / "target" / "records" / f"{kind}.jsonl"
    assert path.exists(), f"no {path}: run RECORD=$PWD/target/records cargo test --test scenarios --test lambda first"
    return [json.loads(line) for line in sorted(set(path.read_text().splitlines()))]
