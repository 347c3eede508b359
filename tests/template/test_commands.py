"""The documents' `aws` commands are calls that AWS's own service models know. bash expands the blocks of a document, and calls nothing."""

import json
import re
import subprocess

import botocore.session
import pytest
from botocore import xform_name
from botocore.validate import ParamValidator
from test_documents import SCRIPTS

# Every `aws` command writes its arguments to a file. Bash finds no other program.
RECORDER = 'aws() { printf "%s\\0" "$@" "$END" >> "$CALLS"; }\n'
END = "end of the command"
# The CLI's own commands and arguments, which are no call's.
OWN_COMMANDS = {("cloudformation", "deploy"), ("s3", "cp")}
OWN_ARGUMENTS = {"query", "output", "region", "cli-binary-format"}
# The names that the CLI gives to members, or to members of members.
RENAMED = {("sns", "subscribe"): {"notification-endpoint"}, ("cloudwatch", "put-metric-data"): {"metric-name", "value"}}
# These write their answer to a file, which they name last.
WITH_FILE = {("lambda", "invoke")}


def commands(script, folder):
    calls = folder / "calls"
    calls.touch()
    environment = {"PATH": str(folder / "nothing"), "CALLS": str(calls), "END": END}
    subprocess.run(["/bin/bash"], input=RECORDER + script, text=True, cwd=folder, env=environment, capture_output=True)
    words = calls.read_text().split("\0")[:-1]
    return [call.split("\0")[:-1] for call in "".join(f"{word}\0" for word in words).split(f"{END}\0") if call]


def arguments(words):
    """The values of each argument, by its name."""
    given = {}
    for word in words:
        if word.startswith("--"):
            values = given.setdefault(word[2:], [])
        else:
            values.append(word)
    return given


def check(service, operation, *words):
    if (service, operation) in OWN_COMMANDS:
        return
    if (service, operation) in WITH_FILE:
        *words, _ = words
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in operations, f"aws {service} has no {operation}"
    call = model.operation_model(operations[operation])
    shape = call.input_shape
    members = {xform_name(name, "-"): name for name in shape.members}
    given = arguments(words)
    unknown = set(given) - set(members) - OWN_ARGUMENTS - RENAMED.get((service, operation), set())
    assert not unknown, f"aws {service} {operation} has no argument {unknown}"
    # The CLI makes an idempotency token itself.
    needed = {name for name in members if members[name] in set(shape.required_members) - set(call.idempotent_members)}
    assert needed <= set(given), f"aws {service} {operation} needs {needed - set(given)}"
    for name in set(given) & set(members):
        check_values(shape.members[members[name]], given[name])


def check_values(shape, values):
    """Checks a choice of AWS's, and a value that is written in JSON."""
    for value in values:
        choices = getattr(shape.member if shape.type_name == "list" else shape, "enum", None)
        assert not choices or value in choices, f"{value} is none of {choices}"
        if shape.type_name in ("structure", "list", "map") and re.match(r"[\[{]", value):
            report = ParamValidator().validate(json.loads(value), shape)
            assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize("document", sorted({name for name, _ in SCRIPTS}))
def test_every_aws_command_is_a_call_that_aws_knows(document, tmp_path):
    script = "\n".join(block for name, block in SCRIPTS if name == document)
    called = commands(script, tmp_path)
    assert len(called) >= len(re.findall(r"^ *(?:\w+=\$\()?aws ", script, re.MULTILINE))
    for call in called:
        check(*call)


@pytest.mark.parametrize(
    "command",
    [
        "aws sagemaker list-pipeline-execution",
        "aws sagemaker list-pipeline-executions --pipeline-name p --sort-by Creation",
        "aws events enable-rule --rule r",
        "aws events enable-rule",
        'aws lambda put-function-event-invoke-config --function-name f --destination-config \'{"OnFail": {}}\'',
    ],
)
def test_a_command_that_aws_does_not_know_is_found(command, tmp_path):
    (call,) = commands(command, tmp_path)
    with pytest.raises(AssertionError):
        check(*call)
