"""The `aws` commands in the documents' shell blocks are calls that AWS's service models know. bash expands them, and nothing is called."""

import json
import re
import subprocess
from collections import Counter

import botocore.session
import pytest
from botocore import xform_name
from botocore.validate import ParamValidator
from test_documents import DOCUMENTS, SCRIPTS, without_blocks

# Every `aws` command writes its words to a file. bash finds no other program.
RECORDER = 'aws() { printf "%s\\0" "$@" "$END" >> "$CALLS"; }\n'
END = "end of the command"
# The CLI's own commands, and its own arguments of one word.
OWN_COMMANDS = {("cloudformation", "deploy"), ("s3", "cp")}
OWN_ARGUMENTS = {"query", "output", "region", "cli-binary-format"}
# The names that the CLI gives to members, or to members of members.
RENAMED = {("sns", "subscribe"): {"notification-endpoint"}, ("cloudwatch", "put-metric-data"): {"metric-name", "value"}}
# These write their answer to a file, which they name last.
WITH_FILE = {("lambda", "invoke")}


def commands(script, folder):
    calls = folder / "calls"
    calls.touch()
    (folder / "script").write_text(RECORDER + script)
    environment = {"PATH": str(folder / "nothing"), "CALLS": str(calls), "END": END}
    subprocess.run(["/bin/bash", "script"], stdin=subprocess.DEVNULL, cwd=folder, env=environment, capture_output=True, timeout=60)
    return [call.split("\0")[:-1] for call in calls.read_text().split(f"{END}\0") if call]


def model_of(service, operation):
    """The call's model, and the members of its input by the CLI's names."""
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in operations, f"aws {service} has no {operation}"
    call = model.operation_model(operations[operation])
    return call, {xform_name(name, "-"): name for name in call.input_shape.members}


def check_names(service, operation, names):
    _, members = model_of(service, operation)
    unknown = set(names) - set(members) - OWN_ARGUMENTS - RENAMED.get((service, operation), set())
    assert not unknown, f"aws {service} {operation} has no argument {unknown}"


def check(service, operation, *words):
    if (service, operation) in OWN_COMMANDS:
        return
    call, members = model_of(service, operation)
    shapes = {name: call.input_shape.members[member] for name, member in members.items()}
    given, other = {}, []
    for word in words:
        if word.startswith("--"):
            name = word[2:]
            given[name] = []
        elif given and (not given[name] or name in shapes and shapes[name].type_name in ("list", "structure", "map")):
            given[name].append(word)
        else:
            other.append(word)
    check_names(service, operation, given)
    assert len(other) == ((service, operation) in WITH_FILE), f"aws {service} {operation} takes no {other}"
    # The CLI makes an idempotency token itself.
    needed = {name for name in members if members[name] in set(call.input_shape.required_members) - set(call.idempotent_members)}
    assert needed <= set(given), f"aws {service} {operation} needs {needed - set(given)}"
    for name, values in given.items():
        assert values or shapes[name].type_name == "boolean", f"--{name} has no value"
        for value in values if name in shapes else []:
            check_value(shapes[name], value)


def check_value(shape, value):
    """Checks a choice of AWS's, a number, and the names in a structure, which is written as JSON or as `Name=value,…`."""
    if shape.type_name in ("structure", "list", "map") and re.match(r"[\[{]", value):
        report = ParamValidator().validate(json.loads(value), shape)
        assert not report.has_errors(), report.generate_report()
        return
    one = shape.member if shape.type_name == "list" else shape
    if one.type_name == "structure":
        unknown = set(re.findall(r"(?:^|,)(\w+)=", value)) - set(one.members)
        assert not unknown and "=" in value, f"{value}: {unknown} is no member of {one.name}"
    assert not getattr(one, "enum", None) or value in one.enum, f"{value} is none of {one.enum}"
    assert one.type_name not in ("integer", "long") or value.isdigit(), f"{value} is no number"


# How a command begins, in a block or in a text.
COMMAND = re.compile(r"(?<![\w#])aws ([a-z0-9]+) ([a-z][a-z-]+)")


@pytest.mark.parametrize("document", sorted({name for name, _ in SCRIPTS}))
def test_every_aws_command_of_the_shell_blocks_is_a_call_that_aws_knows(document, tmp_path):
    script = "\n".join(block for name, block in SCRIPTS if name == document)
    called = commands(script, tmp_path)
    written = Counter(COMMAND.findall(script))
    assert written <= Counter((service, operation) for service, operation, *_ in called)
    for call in called:
        check(*call)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_aws_command_within_a_text_has_names_that_aws_knows(document):
    for inline in re.findall(r"`(aws [^`]+)`", without_blocks(document.read_text())):
        for service, operation in COMMAND.findall(inline):
            check_names(service, operation, re.findall(r" --([a-z-]+)", inline))


@pytest.mark.parametrize(
    "command",
    [
        "aws sagemaker list-pipeline-execution",
        "aws sagemaker list-pipeline-executions --pipeline-name p --sort-by Creation",
        "aws sagemaker list-pipeline-executions --pipeline-name p --max-results many",
        "aws events enable-rule --rule r",
        "aws events enable-rule --name",
        "aws events enable-rule --name r s",
        "aws events enable-rule",
        "aws events put-targets --rule r --targets Identifier=topic,Arn=x",
        "aws lambda invoke --function-name f",
        'aws lambda put-function-event-invoke-config --function-name f --destination-config \'{"OnFail": {}}\'',
    ],
)
def test_a_command_that_aws_does_not_know_is_found(command, tmp_path):
    (call,) = commands(command, tmp_path)
    with pytest.raises(AssertionError):
        check(*call)
