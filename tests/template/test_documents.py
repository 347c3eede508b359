"""The documents agree with the project: links have targets, tables list what exists, and queries find lines of the function's log."""

import json
import re
import subprocess

import pytest
from insights import run
from stack import ROOT, TEMPLATE, Stack, recorded

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
OPERATIONS = "".join((ROOT / "docs" / name).read_text() for name in ["operations.md", "reference.md"])
README = (ROOT / "README.md").read_text()


# A block of code: its language and its text.
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(text, language):
    return [block for found, block in BLOCK.findall(text) if found == language]


def without_blocks(text):
    return BLOCK.sub("", text)


def anchors(document):
    """The anchors that GitHub gives the document's headings."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(text, heading):
    return re.split(r"^#{1,3} ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def words_in_cells(text, column):
    """The words in backquotes in one column of the tables."""
    rows = [line.split(" |")[column] for line in text.splitlines() if line.startswith("| ")]
    return {word for cell in rows for word in re.findall(r"`([^`]+)`", cell)}


def first_cells(text):
    """The words in backquotes in the first cell of each row of the tables."""
    return words_in_cells(text, 0)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_within_the_project_leads_to_a_file_and_a_heading(document):
    text = without_blocks(document.read_text())
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text)
    pictures = [(path, "") for path in re.findall(r'<img src="([^"]+)"', text)]
    for path, anchor in links + pictures:
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{path} does not exist"
        assert not anchor or anchor in anchors(target), f"{target.name} has no heading for #{anchor}"


SCRIPTS = [(path.name, block) for path in DOCUMENTS for block in blocks(path.read_text(), "sh")]


@pytest.mark.parametrize("script", [block for _, block in SCRIPTS], ids=[f"{name}-{number}" for number, (name, _) in enumerate(SCRIPTS)])
def test_every_shell_block_can_be_parsed_and_sets_variables_by_name(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert not re.search(r"^ *AWS_\w*[^\w=]", script, re.MULTILINE)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 130


def test_the_deployment_guide_lists_every_parameter_of_the_stack_and_every_variable_that_the_function_reads():
    parameters = section((ROOT / "docs" / "deployment.md").read_text(), "Parameters")
    assert first_cells(parameters) == set(TEMPLATE["Parameters"])
    removed = {"TRIGGER_PARAMETER_NAME", "RECONCILE_RULE_NAME"}
    read = {name for name in recorded("variables") if not name.startswith("AWS_")} - removed
    assert words_in_cells(parameters, 1) == read


def test_the_deployment_guide_names_an_endpoint_for_every_service_that_the_function_calls():
    guide = (ROOT / "docs" / "deployment.md").read_text()
    endpoints = {"sagemaker": "sagemaker.api", "codepipeline": "codepipeline", "events": "events", "cloudwatch": "monitoring"}
    called = {call["action"].split(":")[0] for call in recorded("permissions")}
    listed = first_cells(section(guide, "What a company requires"))
    assert listed == {f"com.amazonaws.REGION.{endpoints[service]}" for service in called}


def test_operations_lists_every_alarm_and_every_metric():
    alarms = {alarm["AlarmName"].removeprefix("drift-router-nyctaxi-") for alarm in Stack(DriftAlarmNames="a", MaxTrainingAgeDays=45).of_type("AWS::CloudWatch::Alarm").values()}
    assert first_cells(section(OPERATIONS, "Alarms")) == alarms
    metrics = {metric["Name"] for line in recorded("metrics") for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert first_cells(section(OPERATIONS, "Metrics and dashboard")) == metrics


def test_operations_lists_every_word_of_the_answers():
    source = (ROOT / "src" / "outcome.rs").read_text()
    words = set()
    for name in ["EventKind", "Action"]:
        variants = re.findall(r"^    ([A-Z]\w+)[,(]", source.split(f"enum {name} {{")[1].split("\n}")[0], re.MULTILINE)
        assert variants
        words |= {variant[0].lower() + variant[1:] for variant in variants}
    states = source.split("impl Serialize for GuardState {")[1].split("\n}")[0]
    written = re.findall(r'"(\w+)"', states)
    assert len(written) == len(re.findall(r"Self::\w+", states)) > 0
    words |= set(written)
    described = set(re.findall(r"`(\w+)", section(OPERATIONS, "What the answers mean")))
    assert words - described == set()


def words_of(file):
    """The words that `fn word` of a source file returns."""
    body = (ROOT / "src" / file).read_text().split("fn word(&self)", 1)[1].split("\n    }\n", 1)[0]
    return set(re.findall(r'=> "(\w+)"', body))


def test_operations_lists_every_field_and_every_word_of_the_status():
    source = (ROOT / "src" / "outcome" / "status.rs").read_text()
    shown = re.sub(r"#\[serde\((skip|flatten)\)\]\n.*\n", "", source)
    fields = {name for name in re.findall(r"^ +(?:pub\(crate\) )?(\w+): .*,$", shown, re.MULTILINE)}
    assert {"summary", "earliest", "unread", "failed_steps"} <= fields
    fields = {re.sub(r"_(\w)", lambda match: match[1].upper(), name) for name in fields} | {"next", "nothing"}
    listed = first_cells(section(OPERATIONS, "What a status has"))
    assert {word.rsplit(".")[-1].removesuffix("[]") for word in listed} == fields
    verdicts, reasons = words_of("policy/verdict.rs"), words_of("policy/plan.rs") | {"executionsUnread"}
    # No finding has it: it is the answer to a request.
    verdicts.remove("braked")
    assert first_cells(section(OPERATIONS, "Why nothing is next")) == reasons
    assert first_cells(section(OPERATIONS, "What a verdict means")) == verdicts


# A query of the dashboard has the log group as its source.
DASHBOARD = TEMPLATE["Resources"]["DashboardOfProject"]["Properties"]["DashboardBody"]["Fn::Sub"][0]
QUERIES = blocks(OPERATIONS, "text") + re.findall(r"SOURCE [^\"]*", DASHBOARD)


def test_there_are_queries():
    assert len(QUERIES) == 8


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_finds_lines_of_the_functions_log(query):
    log = recorded("log")
    assert 0 < len(run(query, log)) < len(log)


def test_an_answer_in_the_documents_has_the_fields_that_the_log_has():
    logged = {field for line in recorded("log") for field in line}
    for heading in ["A heartbeat by hand", "Deployments that wait"]:
        (answer,) = [json.loads(block) for block in blocks(section(OPERATIONS, heading), "json")]
        assert set(answer) - {"interlock"} <= logged and set(answer["interlock"]) <= logged
    # The scenario has the same answer.
    scenario = (ROOT / "tests" / "scenarios" / "waiting.rs").read_text()
    assert answer["reason"].replace(answer["key"], "{id}", 1) in scenario and answer["key"] in scenario


def test_the_status_in_the_documents_has_the_fields_that_they_describe():
    (status,) = [json.loads(block) for block in blocks(section(OPERATIONS, "Why did it (not) retrain?"), "json")]
    described = first_cells(section(OPERATIONS, "What a status has"))
    for field, value in status.items():
        assert field in described
        inner = value.values() if field == "guards" else value if isinstance(value, list) else [value]
        assert all(f"{field}.{name}" in described for part in inner if isinstance(part, dict) for name in part)
    verdicts = first_cells(section(OPERATIONS, "What a verdict means"))
    assert all(finding["verdict"] in verdicts for finding in status["findings"])
    assert f'version = "{status["version"]}"' in (ROOT / "Cargo.toml").read_text()


def test_the_request_in_the_documents_is_the_sample():
    (script, *_) = blocks(section(OPERATIONS, "Start a retraining by hand"), "sh")
    assert json.loads(script.split("<<'JSON'\n")[1].split("\nJSON\n")[0]) == json.loads((ROOT / "events" / "retrain.json").read_text())
    command = section(OPERATIONS, "Why did it (not) retrain?").split("--payload '")[1].split("'")[0]
    assert json.loads(command) == json.loads((ROOT / "events" / "status.json").read_text())
