"""The stack agrees with the function: rules with sample events, permissions with calls, variables with the configuration, alarms and
dashboard with metrics.

What the function does is read from the records of the Rust tests; what the template grants and matches is judged by moto's
implementations of EventBridge's patterns and of IAM's policies. Of the implementations on the registries, moto's is the one that
is kept up, knows every operator that the template uses, and evaluates policies too.
"""

import json
import re
from pathlib import Path

import pytest
from moto.events.models import EventPattern
from moto.iam.access_control import IAMPolicy, PermissionResult
from stack import ROOT, TEMPLATE, Stack, recorded

SAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("*.json"))}

# The rules that are meant for each sample event. The alarm's own action and CodePipeline's jobs come by no rule.
MEANT_FOR = {
    "code-deployed": {"CodeRule"},
    "code-failed": set(),
    "codepipeline-job": set(),
    "codepipeline-job-continued": set(),
    "drift-alarm": {"DriftRule"},
    "drift-alarm-action": set(),
    "drift-alarm-composite": {"DriftRule"},
    "drift-alarm-metric-math": {"DriftRule"},
    "drift-alarm-muted": {"DriftRule"},
    "drift-alarm-ok": set(),
    "drift-alarm-suppressed": {"DriftRule"},
    "execution-executing": {"StatusRule"},
    "execution-failed": {"StatusRule"},
    "execution-stopped": {"StatusRule"},
    "execution-succeeded": {"StatusRule"},
    "reconcile": {"HeartbeatRule"},
    "schedule": {"ScheduleRule"},
}


def matched_by(event, stack):
    """The rules that send the function this event."""
    matching = set()
    for logical, rule in stack.of_type("AWS::Events::Rule").items():
        if "EventPattern" in rule:
            matches = EventPattern(None, rule["EventPattern"]).matches_event(event)
        else:
            # A schedule's tick names its rule.
            matches = event.get("resources") == [stack.attribute([logical, "Arn"])]
        if matches:
            matching.add(logical)
    return matching


def changed(sample, path, value):
    event = json.loads(json.dumps(SAMPLES[sample]))
    *parents, last = path.split(".")
    node = event
    for parent in parents:
        node = node[parent]
    node[last] = value
    return event


@pytest.mark.parametrize("sample", SAMPLES)
def test_each_sample_event_is_matched_by_the_rules_meant_for_it(sample):
    assert matched_by(SAMPLES[sample], Stack()) == MEANT_FOR[sample]


@pytest.mark.parametrize(
    "sample, path, value",
    [
        ("code-deployed", "detail.pipeline", "sagemaker-fraud-build"),
        ("code-deployed", "detail.state", "STARTED"),
        ("code-deployed", "detail-type", "CodePipeline Stage Execution State Change"),
        ("drift-alarm", "detail.alarmName", "sagemaker-fraud-prod-threshold"),
        ("drift-alarm", "detail.alarmName", "sagemaker-nyctaxi-prod-threshold-2"),
        ("drift-alarm", "detail.state.value", "OK"),
        ("drift-alarm", "detail.state.value", "INSUFFICIENT_DATA"),
        ("drift-alarm", "detail-type", "CloudWatch Alarm Configuration Change"),
        ("execution-failed", "detail.pipelineArn", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi-pipeline-2"),
        ("execution-failed", "detail.pipelineArn", "arn:aws:sagemaker:us-east-1:210987654321:pipeline/nyctaxi-pipeline"),
        ("execution-failed", "detail-type", "SageMaker Model Building Pipeline Execution Step Status Change"),
        ("schedule", "resources", ["arn:aws:events:us-east-1:123456789012:rule/sagemaker-fraud-schedule-build"]),
    ],
)
def test_near_misses_are_matched_by_no_rule(sample, path, value):
    assert matched_by(changed(sample, path, value), Stack()) == set()


def test_a_pipelines_arn_is_compared_without_case():
    upper = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/NYCtaxi-Pipeline"
    assert matched_by(changed("execution-failed", "detail.pipelineArn", upper), Stack()) == {"StatusRule"}


def test_alarms_of_ones_own_take_the_place_of_the_samples():
    stack = Stack(DriftAlarmNames="fare-drift, tip-drift")
    for alarm, rules in [("fare-drift", {"DriftRule"}), ("tip-drift", {"DriftRule"}), ("sagemaker-nyctaxi-prod-threshold", set())]:
        assert matched_by(changed("drift-alarm", "detail.alarmName", alarm), stack) == rules


def test_new_code_comes_by_one_door():
    by_event, by_action = Stack(), Stack(CodeDoor="Action")
    pipeline = "arn:aws:codepipeline:us-east-1:123456789012:sagemaker-nyctaxi-build"
    success, failure, listing = [
        f"codepipeline:{action}" for action in ["PutJobSuccessResult", "PutJobFailureResult", "ListPipelineExecutions"]
    ]
    assert matched_by(SAMPLES["code-deployed"], by_event) == {"CodeRule"}
    assert variables(by_event)["DEPLOYMENT_TRIGGER"] == "event"
    assert allows(by_event, listing, pipeline)
    assert matched_by(SAMPLES["code-deployed"], by_action) == set()
    assert variables(by_action)["DEPLOYMENT_TRIGGER"] == "action"
    assert not allows(by_action, listing, pipeline)
    # A job that the stack does not expect is refused, and one that ran when the door changed gets its answer.
    assert all(allows(stack, answer, "*") for stack in [by_event, by_action] for answer in [success, failure])


@pytest.mark.parametrize("stack", [Stack(), Stack(DriftAlarmNames="fare-drift, tip-drift")])
def test_the_function_looks_at_the_alarms_that_the_rule_matches(stack):
    matched = stack.properties("DriftRule")["EventPattern"]["detail"]["alarmName"]
    assert variables(stack)["DRIFT_ALARM_NAMES"].split(",") == matched


def test_the_variables_fit_into_lambdas_4_kb_with_the_longest_names_and_some_alarms():
    stack = Stack(
        ProjectName="p" * 32,
        SageMakerPipelineName="s" * 256,
        CodePipelineName="c" * 100,
        BuildStageName="b" * 100,
        TriggerParameterName="t" * 256,
        DriftAlarmNames=",".join(f"{number:02}-{'a' * 97}" for number in range(20)),
    )
    assert sum(len(name) + len(value) for name, value in ((n, str(v)) for n, v in variables(stack).items())) <= 4096


def test_only_the_routers_own_tags_may_be_written():
    (statement,) = [s for s in Stack().policy("router")["Statement"] if s["Sid"] == "TagTheRules"]
    assert statement["Action"] == ["events:TagResource", "events:UntagResource"]
    condition = statement["Condition"]
    assert condition["ForAllValues:StringEquals"] == {"aws:TagKeys": ["drift-router:paused-by", "drift-router:owed-since"]}
    # Without any key, "for all" would be true.
    assert condition["Null"] == {"aws:TagKeys": "false"}


@pytest.mark.parametrize(
    "cooldown, is_accepted", [("24h", True), ("1d 12h", True), ("90m", True), ("0s", False), ("", True), ("soon", False)]
)
def test_the_cooldown_is_a_duration_that_is_not_zero(cooldown, is_accepted):
    parameter = TEMPLATE["Parameters"]["DriftCooldown"]
    assert parameter["Default"] == "24h"
    assert bool(re.match(parameter["AllowedPattern"], cooldown)) == is_accepted


def test_without_a_schedule_there_is_no_schedule_rule():
    stack = Stack(RetrainingSchedule="")
    assert "ScheduleRule" not in stack.resources and "ScheduleRulePermission" not in stack.resources
    assert variables(stack)["SCHEDULE_RULE_NAME"] == ""
    assert "schedule-build" not in json.dumps(stack.policy("router"))


@pytest.mark.parametrize("stack", [Stack(), Stack(CodeDoor="Action"), Stack(RetrainingSchedule="")])
def test_every_rule_may_invoke_the_function_and_loses_nothing(stack):
    rules = stack.of_type("AWS::Events::Rule")
    arns = {stack.attribute([logical, "Arn"]) for logical in rules}
    may_invoke = [p for p in stack.of_type("AWS::Lambda::Permission").values() if p["Principal"] == "events.amazonaws.com"]
    assert {p["SourceArn"] for p in may_invoke} == arns and len(may_invoke) == len(arns)
    (undelivered,) = [
        s for s in stack.properties("DeadLettersPolicy")["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"
    ]
    assert set(undelivered["Condition"]["ArnEquals"]["aws:SourceArn"]) == arns
    for rule in rules.values():
        (target,) = rule["Targets"]
        assert target["Arn"] == stack.attribute(["Function", "Arn"])
        assert target["DeadLetterConfig"]["Arn"] == stack.attribute(["DeadLetters", "Arn"])
        assert "State" not in rule and "Tags" not in rule


def test_the_function_knows_the_rules_by_their_names():
    stack = Stack()
    for variable, rule in [
        ("SCHEDULE_RULE_NAME", "ScheduleRule"),
        ("DRIFT_RULE_NAME", "DriftRule"),
        ("RECONCILE_RULE_NAME", "HeartbeatRule"),
    ]:
        assert variables(stack)[variable] == stack.properties(rule)["Name"]


def variables(stack):
    return stack.properties("Function")["Environment"]["Variables"]


def test_the_template_sets_the_variables_that_the_configuration_reads():
    of_the_sdk = {"AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"}
    assert set(variables(Stack())) - of_the_sdk == set(recorded("variables"))


def allows(stack, action, resource):
    policy = IAMPolicy(json.dumps(stack.policy("router")))
    return policy.is_action_permitted(action, resource) == PermissionResult.PERMITTED


BOTH_DOORS = [Stack(), Stack(CodeDoor="Action")]


def test_every_call_of_the_tests_is_allowed_for_its_very_resource():
    calls = recorded("permissions")
    resource = lambda call: call["resource"].replace("${AWS::Region}", "us-east-1")
    refused = [c for c in calls if not any(allows(stack, c["action"], resource(c)) for stack in BOTH_DOORS)]
    assert calls and not refused


def test_every_allowed_action_is_one_that_the_tests_make():
    statements = [s for stack in BOTH_DOORS for s in stack.policy("router")["Statement"]]
    listed = [s["Action"] if isinstance(s["Action"], list) else [s["Action"]] for s in statements]
    assert {action for actions in listed for action in actions} == {call["action"] for call in recorded("permissions")}


@pytest.mark.parametrize(
    "action, resource",
    [
        ("sagemaker:StartPipelineExecution", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/fraud-pipeline"),
        ("sagemaker:DescribePipelineExecution", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/fraud-pipeline/execution/a"),
        ("sagemaker:StopPipelineExecution", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi-pipeline"),
        ("codepipeline:DisableStageTransition", "arn:aws:codepipeline:us-east-1:123456789012:sagemaker-nyctaxi-build/Deploy"),
        ("events:DisableRule", "arn:aws:events:us-east-1:123456789012:rule/sagemaker-nyctaxi-reconcile-build"),
        ("events:DisableRule", "arn:aws:events:us-east-1:123456789012:rule/sagemaker-fraud-drift-build"),
        ("events:DisableRule", "arn:aws:events:us-east-1:210987654321:rule/sagemaker-nyctaxi-drift-build"),
    ],
)
def test_what_is_not_the_projects_is_refused(action, resource):
    assert not allows(Stack(CodeDoor="Action"), action, resource)


def metrics_shown(stack):
    """The metrics of the function that alarms and dashboard read, each as (name, dimension, value)."""
    shown = {
        (alarm["MetricName"], *[v for d in alarm["Dimensions"] for v in (d["Name"], d["Value"])])
        for alarm in stack.of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Namespace"] == "DriftRouter"
    }
    body = json.loads(stack.properties("Dashboard")["DashboardBody"])
    for widget in body["widgets"]:
        before = []
        for row in widget["properties"].get("metrics", []):
            row = [cell for cell in row if isinstance(cell, str)]
            if row == ["..."]:
                row = before
            before = [old if cell == "." else cell for cell, old in zip(row, before or row)]
            if before[0] == "DriftRouter":
                shown.add(tuple(before[1:]))
    return shown


def test_alarms_and_dashboard_read_the_metrics_that_the_function_emits():
    emitted = set()
    for line in recorded("metrics"):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "DriftRouter"
        (dimensions,) = directive["Dimensions"]
        emitted |= {(m["Name"], *[v for d in dimensions for v in (d, line[d])]) for m in directive["Metrics"]}
    assert metrics_shown(Stack()) == emitted


def test_alarms_notify_the_topic_where_one_is_given():
    topic = "arn:aws:sns:us-east-1:123456789012:oncall"
    silent, loud = Stack(), Stack(NotificationTopicArn=topic)
    assert len(silent.of_type("AWS::CloudWatch::Alarm")) == 6
    assert all("AlarmActions" not in a for a in silent.of_type("AWS::CloudWatch::Alarm").values())
    assert all(a["AlarmActions"] == [topic] for a in loud.of_type("AWS::CloudWatch::Alarm").values())


def test_the_direct_alarm_action_is_off_and_can_be_granted_to_the_accounts_alarms():
    def direct(stack):
        permissions = stack.of_type("AWS::Lambda::Permission").values()
        return [p for p in permissions if p["Principal"] == "lambda.alarms.cloudwatch.amazonaws.com"]

    assert direct(Stack()) == []
    (permission,) = direct(Stack(DirectAlarmActions="On"))
    assert permission["SourceAccount"] == "123456789012"
    assert permission["SourceArn"] == "arn:aws:cloudwatch:us-east-1:123456789012:alarm:*"


def test_concurrency_is_reserved_unless_it_is_zero():
    assert Stack().properties("Function")["ReservedConcurrentExecutions"] == 1
    assert "ReservedConcurrentExecutions" not in Stack(ReservedConcurrency=0).properties("Function")


def test_nothing_is_tied_to_one_partition():
    stack = Stack(**{"AWS::Partition": "aws-cn", "AWS::Region": "cn-north-1"})
    told = json.dumps([stack.policy("router"), stack.policy("platform"), stack.of_type("AWS::Events::Rule"), stack.outputs])
    assert "arn:aws:" not in told and "arn:aws-cn:" in told
    assert "console.amazonaws.cn" in stack.outputs["DashboardUrl"]
    assert "arn:aws:" not in (Path(ROOT) / "template.yaml").read_text()


def test_the_application_repositorys_files_exist():
    application = TEMPLATE["Metadata"]["AWS::ServerlessRepo::Application"]
    assert (ROOT / application["ReadmeUrl"]).exists() and (ROOT / application["LicenseUrl"]).exists()
    assert f'version = "{application["SemanticVersion"]}"' in (ROOT / "Cargo.toml").read_text()
