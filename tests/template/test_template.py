"""The stack agrees with the function: rules with sample events, permissions with calls, variables with the configuration, alarms and
dashboard with metrics.

The records of the Rust tests show what the function does. moto's implementations of EventBridge's patterns and of IAM's policies
decide what the template matches and grants. Of the implementations on the registries, moto's is the one that is maintained, supports
every operator that the template uses, and evaluates policies too.
"""

import itertools
import json
import re
import subprocess

import jsonschema
import pytest
from moto.events.models import EventPattern
from moto.iam.access_control import IAMPolicy, PermissionResult
from stack import ROOT, TEMPLATE, Stack, accepts, recorded

# Every test reads template.yaml, and then template-cfn.yaml.
pytestmark = pytest.mark.usefixtures("template")

SAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("*.json"))}

ALPHABET = "abcdefghijklmnopqrstuvwxyz"

# The rules that must match each sample event. The alarm's own action and CodePipeline's jobs use no rule.
MEANT_FOR = {
    "code-deployed": {"CodeRule"},
    "code-failed": set(),
    "code-rolled-back": {"CodeRule"},
    "codepipeline-job": set(),
    "codepipeline-job-continued": set(),
    "drift-alarm": {"DriftRule"},
    "drift-alarm-action": set(),
    "drift-alarm-composite": {"DriftRule"},
    "drift-alarm-metric-math": {"DriftRule"},
    "drift-alarm-muted": {"DriftRule"},
    "drift-alarm-ok": set(),
    "drift-alarm-other-account": {"DriftRule"},
    "drift-alarm-suppressed": {"DriftRule"},
    "execution-executing": {"StatusRule"},
    "execution-failed": {"StatusRule"},
    "execution-stopped": {"StatusRule"},
    "execution-succeeded": {"StatusRule"},
    "heartbeat": {"HeartbeatRule"},
    # Requests to the router itself invoke the function directly, as does EventBridge Scheduler.
    "retrain": set(),
    "schedule": {"ScheduleRule"},
    "scheduler-tick": set(),
    "status": set(),
}

# The parameters that add or remove resources, and the values that do so.
CHOICES = {
    "CodePipelineName": ["sagemaker-nyctaxi-build", ""],
    "DeploymentTrigger": ["event", "action", "none"],
    "DeploymentWhileRunning": ["start", "wait"],
    "RetrainingSchedule": ["cron(0 12 1 * ? *)", ""],
    "ExistingScheduleRuleName": ["", "our-schedule"],
    "ExistingDriftRuleName": ["", "our-drift"],
    "Dashboard": ["On", "Off"],
    "DirectAlarmActions": ["Off", "On"],
}
COMBINATIONS = [dict(zip(CHOICES, values)) for values in itertools.product(*CHOICES.values())]
COMBINATIONS = [choice for choice in COMBINATIONS if not Stack(**choice).refusals()]


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
        ("code-deployed", "account", "210987654321"),
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
    stack = Stack(DriftAlarmNames="fare drift,tip-drift")
    for alarm, rules in [("fare drift", {"DriftRule"}), ("tip-drift", {"DriftRule"}), ("sagemaker-nyctaxi-prod-threshold", set())]:
        assert matched_by(changed("drift-alarm", "detail.alarmName", alarm), stack) == rules


def test_each_deployment_trigger_has_the_rule_and_the_permissions_that_it_needs():
    pipeline = "arn:aws:codepipeline:us-east-1:123456789012:sagemaker-nyctaxi-build"
    for trigger in ["event", "action", "none"]:
        stack = Stack(DeploymentTrigger=trigger)
        assert variables(stack)["DEPLOYMENT_TRIGGER"] == trigger
        assert matched_by(SAMPLES["code-deployed"], stack) == ({"CodeRule"} if trigger == "event" else set())
        assert allows(stack, "codepipeline:ListPipelineExecutions", pipeline) == (trigger == "event")
        # The function refuses a job that the stack does not expect. A job that runs while the trigger changes gets its answer.
        assert all(allows(stack, f"codepipeline:{answer}", "*") for answer in ["PutJobSuccessResult", "PutJobFailureResult"])


@pytest.mark.parametrize("trigger, told", [("event", "none"), ("action", "action"), ("none", "none")])
def test_without_a_codepipeline_no_stage_is_guarded_and_nothing_is_allowed_on_one(trigger, told):
    stack = Stack(CodePipelineName="", DeploymentTrigger=trigger)
    assert variables(stack)["CODE_PIPELINE_NAME"] == variables(stack)["BUILD_STAGE_NAME"] == ""
    assert variables(stack)["DEPLOYMENT_TRIGGER"] == told
    assert "CodeRule" not in stack.resources
    statements = [s for s in stack.policy("router")["Statement"] if "codepipeline" in json.dumps(s["Action"])]
    assert [s["Sid"] for s in statements] == ["AnswerJobs"]


@pytest.mark.parametrize("choice", COMBINATIONS, ids=lambda choice: "-".join(value or "none" for value in choice.values()))
class TestEveryCombination:
    def test_makes_the_resources_that_it_should(self, choice):
        stack = Stack(**choice)
        expected = {"HeartbeatRule", "StatusRule"}
        if choice["CodePipelineName"] and choice["DeploymentTrigger"] == "event":
            expected.add("CodeRule")
        if choice["RetrainingSchedule"] and not choice["ExistingScheduleRuleName"]:
            expected.add("ScheduleRule")
        if not choice["ExistingDriftRuleName"]:
            expected.add("DriftRule")
        assert set(stack.of_type("AWS::Events::Rule")) == expected
        assert ("DashboardUrl" in stack.outputs) == bool(stack.of_type("AWS::CloudWatch::Dashboard")) == (choice["Dashboard"] == "On")
        assert ("DirectAlarmsPermission" in stack.resources) == (choice["DirectAlarmActions"] == "On")

    def test_lets_every_rule_invoke_the_function_and_loses_nothing(self, choice):
        stack = Stack(**choice)
        rules = stack.of_type("AWS::Events::Rule")
        arns = {stack.attribute([logical, "Arn"]) for logical in rules}
        permissions = stack.of_type("AWS::Lambda::Permission")
        (undelivered,) = [
            s for s in stack.properties("DeadLettersPolicy")["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"
        ]
        assert set(undelivered["Condition"]["ArnEquals"]["aws:SourceArn"]) == arns
        may_invoke = [p["SourceArn"] for p in permissions.values() if p["Principal"] == "events.amazonaws.com"]
        assert sorted(may_invoke) == sorted(arns)
        for logical, rule in rules.items():
            # What the rule needs for its deliveries exists before the rule.
            permission, queue_policy, on_failure = stack.resources[logical]["DependsOn"]
            assert permissions[permission]["SourceArn"] == stack.attribute([logical, "Arn"])
            assert (queue_policy, on_failure) == ("DeadLettersPolicy", "FunctionEventInvokeConfig")
            (target,) = rule["Targets"]
            assert target["Arn"] == stack.attribute(["Function", "Arn"])
            assert target["DeadLetterConfig"]["Arn"] == stack.attribute(["DeadLetters", "Arn"])
            assert "State" not in rule and "Tags" not in rule

    def test_lets_nobody_send_a_request_by_putting_an_event(self, choice):
        # A rule with the source drift-router would let everyone who may call events:PutEvents start retrainings. So would one that
        # matches any source, or one that sends a text of its own.
        for rule in Stack(**choice).of_type("AWS::Events::Rule").values():
            if "EventPattern" in rule:
                assert all(isinstance(source, str) and source.startswith("aws.") for source in rule["EventPattern"]["source"])
            assert not any(name.startswith("Input") for target in rule["Targets"] for name in target)

    def test_allows_the_function_what_it_is_configured_for_and_no_more(self, choice):
        stack = Stack(**choice)
        told = variables(stack)
        paused = [told[name] for name in ["SCHEDULE_RULE_NAME", "DRIFT_RULE_NAME"] if told[name]]
        arn = "arn:aws:{}:us-east-1:123456789012:{}".format
        for rule in paused:
            for action in ["DescribeRule", "EnableRule", "DisableRule", "ListTagsForResource"]:
                assert allows(stack, f"events:{action}", arn("events", f"rule/{rule}"))
        statements = [s for s in stack.policy("router")["Statement"] if s["Sid"] in ["ReadAndSetTheRules", "TagTheRules"]]
        expected = sorted(arn("events", f"rule/{rule}") for rule in paused)
        assert [sorted(statement["Resource"]) for statement in statements] == [expected] * 2
        stage = arn("codepipeline", "sagemaker-nyctaxi-build/Build")
        assert allows(stack, "codepipeline:DisableStageTransition", stage) == bool(told["CODE_PIPELINE_NAME"])

    def test_is_a_configuration_that_the_function_accepts(self, choice):
        assert fault_of(variables(Stack(**choice))) is None


def fault_of(environment):
    """The function's error about its variables, or None."""
    binary = ROOT / "target" / "debug" / "drift-router"
    assert binary.exists(), "no target/debug/drift-router: run cargo build first"
    # Lambda's own variables that the runtime reads. Nothing listens on port 1, so the function stops after its start.
    of_lambda = {f"AWS_LAMBDA_{name}": "1" for name in ["FUNCTION_NAME", "FUNCTION_MEMORY_SIZE", "FUNCTION_VERSION", "LOG_STREAM_NAME", "LOG_GROUP_NAME"]}
    of_lambda |= {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "us-east-1"}
    of_lambda |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nobody"}
    environment = {name: str(value) for name, value in environment.items()}
    stopped = subprocess.run([binary], env=of_lambda | environment, capture_output=True, text=True, timeout=60)
    assert "the function stopped" in stopped.stdout, stopped
    return stopped.stdout if "environment variables" in stopped.stdout else None


def test_the_function_says_what_is_wrong_with_its_variables():
    assert "MODE is" in fault_of(variables(Stack()) | {"MODE": "wet"})


@pytest.mark.parametrize("mode", ["active", "dry-run", "drain"])
def test_the_mode_is_handed_to_the_function(mode):
    stack = Stack(Mode=mode)
    assert variables(stack)["MODE"] == mode
    assert fault_of(variables(stack)) is None


@pytest.mark.parametrize("alarms", ["", "fare drift,tip-drift"])
def test_the_function_reads_the_alarms_that_the_rule_matches(alarms):
    stack = Stack(DriftAlarmNames=alarms)
    matched = stack.properties("DriftRule")["EventPattern"]["detail"]["alarmName"]
    assert variables(stack)["DRIFT_ALARM_NAMES"].split(",") == matched


# The longest values that CloudFormation accepts for each parameter of text.
LONGEST = {
    "ProjectName": "P" * 32,
    "SageMakerPipelineName": "s" * 256,
    "CodePipelineName": "c" * 100,
    "BuildStageName": "b" * 100,
    # Backslashes: JSON in JSON doubles each of them.
    "PipelineParameters": '{"p":"' + "\\" * 632 + '"}',
    "ExistingScheduleRuleName": "r" * 64,
    "ExistingDriftRuleName": "d" * 64,
    "SchedulerScheduleName": "n" * 64,
    # One hundred names: each costs two more characters in the pattern.
    "DriftAlarmNames": ",".join(f"{number:02}{'a' * 14}" for number in range(100)) + "a",
    "DriftCooldown": "999m",
    "Mode": "dry-run",
    "DeploymentTrigger": "action",
    "DeploymentWhileRunning": "start",
    "CatchUpPerDay": 100,
    "SageMakerProjectName": "P" * 32,
    "SageMakerProjectId": "p" * 20,
}


@pytest.mark.parametrize("parameter", [name for name, value in LONGEST.items() if isinstance(value, str)])
def test_the_longest_values_are_the_longest(parameter):
    longest = LONGEST[parameter]
    assert accepts(parameter, longest)
    pattern_only = parameter in ["DriftCooldown", "Mode", "DeploymentTrigger", "DeploymentWhileRunning"]
    assert pattern_only or len(longest) == TEMPLATE["Parameters"][parameter]["MaxLength"]


def test_with_the_longest_values_the_variables_fit_into_lambdas_4_kb_and_the_function_accepts_them():
    # Lambda measures the variables as JSON, which escapes quotation marks and backslashes of a value.
    environment = {name: str(value) for name, value in variables(Stack(**LONGEST)).items()}
    assert len(json.dumps(environment, separators=(",", ":"))) <= 4096
    assert fault_of(environment) is None


def test_with_the_longest_values_every_name_and_description_fits():
    stack = Stack(**{**LONGEST, "ExistingScheduleRuleName": "", "ExistingDriftRuleName": "", "DeploymentTrigger": "event"})
    assert len(stack.properties("Function")["Description"]) <= 256
    assert len(stack.properties("Function")["FunctionName"]) <= 64
    assert len(stack.properties("DeadLetters")["QueueName"]) <= 80
    for rule in stack.of_type("AWS::Events::Rule").values():
        assert len(rule["Name"]) <= 64 and len(rule["Description"]) <= 512
        pattern = json.dumps(rule.get("EventPattern", {}), separators=(",", ":"))
        assert len(pattern) <= 2048, f"{rule['Name']}: {len(pattern)}"
    for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
        assert len(alarm["AlarmName"]) <= 255 and len(alarm["AlarmDescription"]) <= 1024
    for parameter in stack.template["Parameters"].values():
        assert len(parameter["Description"]) <= 4000 and parameter["Description"].endswith(".")


def test_one_long_alarm_name_fits_too():
    stack = Stack(DriftAlarmNames=",".join(["a" * 255] * 6))
    pattern = stack.properties("DriftRule")["EventPattern"]
    assert len(json.dumps(pattern, separators=(",", ":"))) <= 2048
    assert fault_of(variables(stack)) is None


@pytest.mark.parametrize(
    "parameter, refused",
    [
        ("ProjectName", ["p" * 33, "a_b", "-a", "a-", ""]),
        ("SageMakerPipelineName", ["s" * 257, "a_b", "-a", "a-", "", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p"]),
        ("RetrainingSchedule", ["rate(1 day)", "cron()", "0 12 1 * ? *"]),
        ("ExistingScheduleRuleName", ["r" * 65, "a rule"]),
        ("DriftAlarmNames", ["a, b", "a,", ",", "a,,b", 'a"b', "a\\b", "\u00e9", "a" * 256, "a," + "a" * 256, ",".join(["a" * 100] * 18), ",".join(["a"] * 101)]),
        ("DriftAlarmNames", ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:a", "a,arn:aws:cloudwatch:us-east-1:123456789012:alarm:a"]),
        ("PipelineParameters", ["Source", "[]", "{" + " " * 639 + "}", '{"p": "\u00e9"}']),
        ("HeartbeatMinutes", [1, 45, 120]),
        ("HoldAlarmHours", [0, 169]),
        ("MaxTrainingAgeDays", [-1, 401]),
        ("Mode", ["Active", "wet"]),
        ("DeploymentTrigger", ["Event", ""]),
        ("DeploymentWhileRunning", ["Wait", ""]),
        ("PermissionsBoundaryArn", ["team-boundary", "arn:aws:iam::123456789012:role/r"]),
        ("SubnetIds", ["subnet-1a, subnet-2b", "vpc-1a", "subnet-1a,", ",".join(["subnet-1a"] * 17)]),
        ("SecurityGroupIds", ["sg-1a,sg-2b,", "default", ",".join(["sg-1a"] * 6)]),
        ("CodeSigningConfigArn", ["csc-0123456789abcdef0", "arn:aws:lambda:us-east-1:123456789012:function:f"]),
    ],
)
def test_values_that_would_fail_later_are_refused_at_once(parameter, refused):
    assert [value for value in refused if accepts(parameter, value)] == []


@pytest.mark.parametrize("project", ["nyctaxi", "NYCtaxi", "A", "a-B-9"])
def test_a_project_may_have_capitals_as_in_sagemaker(project):
    stack = Stack(ProjectName=project)
    assert stack.properties("DriftRule")["Name"] == f"sagemaker-{project}-drift-build"
    assert fault_of(variables(stack)) is None


@pytest.mark.parametrize("name", ["NYCtaxi-Pipeline", ALPHABET, ALPHABET.upper(), ALPHABET.upper() + "-0123456789", "Zz" * 128])
def test_a_sagemaker_pipelines_name_may_have_capitals_although_its_arn_has_none(name):
    stack = Stack(SageMakerPipelineName=name)
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:pipeline/{name.lower()}"
    # It is not documented which spelling IAM sees.
    for spelled in [arn, f"arn:aws:sagemaker:us-east-1:123456789012:pipeline/{name}"]:
        calls = [("StartPipelineExecution", spelled), ("ListPipelineExecutions", spelled)]
        calls += [(call, f"{spelled}/execution/a") for call in ["DescribePipelineExecution", "ListPipelineExecutionSteps"]]
        assert all(allows(stack, f"sagemaker:{call}", resource) for call, resource in calls)
    assert not allows(stack, "sagemaker:StartPipelineExecution", arn + "-2")
    assert matched_by(changed("execution-failed", "detail.pipelineArn", arn), stack) == {"StatusRule"}
    # SageMaker's calls get the name as it was given. The function compares ARNs without case.
    assert variables(stack)["SAGEMAKER_PIPELINE_NAME"] == name and fault_of(variables(stack)) is None


@pytest.mark.parametrize("cooldown", ["", "24h", "1m", "999m", "999h", "1d", "90d"])
def test_the_cooldown_is_one_that_the_function_accepts(cooldown):
    assert TEMPLATE["Parameters"]["DriftCooldown"]["Default"] == "24h"
    assert fault_of(variables(Stack(DriftCooldown=cooldown))) is None


@pytest.mark.parametrize("cooldown", ["0s", "0m", "91d", "1000h", "soon", "1d 12h", "24"])
def test_other_cooldowns_are_refused(cooldown):
    assert not accepts("DriftCooldown", cooldown)


def test_rules_that_exist_already_are_paused_and_not_made():
    stack = Stack(ExistingScheduleRuleName="our-schedule", ExistingDriftRuleName="our-drift")
    assert (variables(stack)["SCHEDULE_RULE_NAME"], variables(stack)["DRIFT_RULE_NAME"]) == ("our-schedule", "our-drift")
    told = json.dumps([stack.resources, stack.outputs])
    assert "sagemaker-nyctaxi-schedule-build" not in told and "sagemaker-nyctaxi-drift-build" not in told
    # They keep their own targets, so they may not invoke the function.
    invoking = [p.get("SourceArn") for p in stack.of_type("AWS::Lambda::Permission").values()]
    assert not any(arn.endswith(("our-schedule", "our-drift")) for arn in invoking)


@pytest.mark.parametrize("minutes", [5, 10, 15, 20, 30, 60])
def test_the_heartbeat_comes_every_so_many_minutes(minutes):
    stack = Stack(HeartbeatMinutes=minutes)
    assert stack.properties("HeartbeatRule")["ScheduleExpression"] == f"rate({minutes} minutes)"
    # Any two hours contain a heartbeat. Otherwise the alarm for silence would go off.
    silence = stack.properties("SilenceAlarm")
    assert silence["DatapointsToAlarm"] * silence["Metrics"][0]["MetricStat"]["Period"] >= 2 * 60 * minutes


FUNCTION, QUEUE = ("FunctionName", "drift-router-nyctaxi"), ("QueueName", "drift-router-nyctaxi-dead-letters")

# What each alarm reads, and when it goes off: metric and dimension; statistic, period and number of periods; threshold; missing data.
ALARMS = {
    "DeadLettersAlarm": ("AWS/SQS", "ApproximateNumberOfMessagesVisible", QUEUE, "Maximum", 300, 1, ">=", 1, "ignore"),
    "ErrorsAlarm": ("AWS/Lambda", "Errors", FUNCTION, "Sum", 3600, 1, ">=", 3, "notBreaching"),
    "ThrottlesAlarm": ("AWS/Lambda", "Throttles", FUNCTION, "Sum", 300, 3, ">=", 1, "notBreaching"),
    "SilenceAlarm": ("DriftRouter", "InterlockEngaged", FUNCTION, "SampleCount", 7200, 2, "<", 1, "ignore"),
    "InterlockAlarm": ("DriftRouter", "InterlockEngaged", FUNCTION, "Minimum", 3600, 31, ">=", 1, "ignore"),
    "HoldAlarm": ("DriftRouter", "GuardsHeld", FUNCTION, "Minimum", 3600, 47, ">=", 1, "ignore"),
    "OwedAlarm": ("DriftRouter", "OwedSeconds", FUNCTION, "Minimum", 3600, 2, ">=", 21600, "ignore"),
    "AlarmsMissingAlarm": ("DriftRouter", "AlarmsMissing", FUNCTION, "Maximum", 3600, 1, ">=", 1, "ignore"),
    "RetrainingFailedAlarm": ("DriftRouter", "RetrainingFailing", FUNCTION, "Maximum", 300, 1, ">=", 1, "ignore"),
    "StaleAlarm": ("DriftRouter", "TrainingAgeSeconds", FUNCTION, "Maximum", 3600, 1, ">", 45, "ignore"),
}

# What an alarm on an expression computes. With one heartbeat an hour, some hours may have none: such an hour counts as the one
# before. The template cannot multiply, so the age is compared in days.
EXPRESSIONS = {"InterlockAlarm": "FILL(engaged, REPEAT)", "HoldAlarm": "FILL(held, REPEAT)", "StaleAlarm": "age / 86400"}
# Periods without a report count 0, from the first report on.
EXPRESSIONS["SilenceAlarm"] = "FILL(reports, 0) + 0 * FILL(reports, REPEAT)"


def test_every_alarm_reads_its_metric_and_goes_off_at_its_threshold():
    stack = Stack(InterlockAlarmHours=31, HoldAlarmHours=47, DriftAlarmNames="fare-drift", MaxTrainingAgeDays=45)
    # The alarm for what is lost sums several metrics: see below.
    assert set(stack.of_type("AWS::CloudWatch::Alarm")) == {*ALARMS, "LostAlarm"}
    for logical in ALARMS:
        alarm = stack.properties(logical)
        if "Metrics" in alarm:
            (read,) = [m for m in alarm["Metrics"] if "MetricStat" in m]
            (shown,) = [m for m in alarm["Metrics"] if m["ReturnData"]]
            assert shown["Expression"] == EXPRESSIONS[logical] and read["Id"] in shown["Expression"]
            stat = read["MetricStat"]
            metric, statistic, period = stat["Metric"], stat["Stat"], stat["Period"]
        else:
            metric, statistic, period = alarm, alarm["Statistic"], alarm["Period"]
        (dimension,) = metric["Dimensions"]
        operators = {"GreaterThanOrEqualToThreshold": ">=", "GreaterThanThreshold": ">", "LessThanThreshold": "<"}
        operator = operators[alarm["ComparisonOperator"]]
        found = (metric["Namespace"], metric["MetricName"], (dimension["Name"], dimension["Value"]), statistic, period)
        found += (alarm["EvaluationPeriods"], operator, alarm["Threshold"], alarm["TreatMissingData"])
        assert found == ALARMS[logical], logical
        # CloudWatch evaluates a week at most.
        assert period * alarm["EvaluationPeriods"] <= 7 * 86400
        assert alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]) == (1 if logical == "SilenceAlarm" else alarm["EvaluationPeriods"])


def test_the_age_of_the_newest_training_is_limited_if_a_limit_is_given():
    assert "StaleAlarm" not in Stack().resources
    assert Stack(MaxTrainingAgeDays=1).properties("StaleAlarm")["Threshold"] == 1
    assert "more than 45 days ago" in Stack(MaxTrainingAgeDays=45).properties("StaleAlarm")["AlarmDescription"]
    # A failure and an old model are told until they are over, so both alarms also tell the end.
    told = Stack(MaxTrainingAgeDays=45, NotificationTopicArn="arn:aws:sns:us-east-1:123456789012:oncall")
    assert all(told.properties(alarm)["OKActions"] for alarm in ["StaleAlarm", "RetrainingFailedAlarm"])


def test_the_descriptions_say_what_counts_and_what_to_do():
    stack = Stack(DriftAlarmNames="fare-drift", MaxTrainingAgeDays=45)
    failed, missing = [stack.properties(alarm)["AlarmDescription"] for alarm in ["RetrainingFailedAlarm", "AlarmsMissingAlarm"]]
    assert "stays until a retraining succeeds" in failed and "experiment of a person on the same pipeline counts" in failed
    assert "no heartbeat finds drift" in missing and "unless all these alarms are of other accounts" in missing
    # A composite alarm that is in ALARM does not change when another of its children goes off.
    assert "no composite alarm" in TEMPLATE["Parameters"]["DriftAlarmNames"]["Description"]


@pytest.mark.parametrize("choice", COMBINATIONS[:: len(COMBINATIONS) // 16], ids=lambda choice: "-".join(value or "none" for value in choice.values()))
def test_one_event_that_is_neither_handled_nor_in_the_queue_sets_the_alarm(choice):
    stack = Stack(**choice)
    alarm = stack.properties("LostAlarm")
    *read, lost = alarm["Metrics"]
    found = {(m["MetricStat"]["Metric"]["MetricName"], *m["MetricStat"]["Metric"]["Dimensions"][0].values()) for m in read}
    rules = {("InvocationsFailedToBeSentToDlq", "RuleName", rule["Name"]) for rule in stack.of_type("AWS::Events::Rule").values()}
    assert found == {("DestinationDeliveryFailures", *FUNCTION)} | rules and len(read) == len(found) == len({m["Id"] for m in read})
    assert {(m["MetricStat"]["Metric"]["Namespace"], m["MetricStat"]["Metric"]["MetricName"]) for m in read} == {
        ("AWS/Lambda", "DestinationDeliveryFailures"),
        ("AWS/Events", "InvocationsFailedToBeSentToDlq"),
    }
    assert all((m["MetricStat"]["Stat"], m["MetricStat"]["Period"], m["ReturnData"]) == ("Sum", 300, False) for m in read)
    # A metric without a value counts as 0. Without FILL, one missing value would hide the others.
    assert (lost["Expression"], lost["ReturnData"]) == ("SUM(FILL(METRICS(), 0))", True)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanOrEqualToThreshold", 1)
    # The most metrics that an alarm's expression reads.
    assert alarm["TreatMissingData"] == "notBreaching" and len(read) <= 10


def test_alarms_on_measured_values_ignore_missing_data_and_those_on_counted_ones_take_it_for_none():
    for logical, (_, metric, _, statistic, *_, missing) in ALARMS.items():
        assert (missing == "ignore") == (statistic != "Sum") == (metric not in ["Errors", "Throttles"]), logical


def test_every_heartbeat_that_could_set_the_guards_ends_silence():
    silence = Stack().properties("SilenceAlarm")
    # Only such heartbeats know what is owed.
    heartbeats = [line for line in recorded("metrics") if "OwedSeconds" in line]
    assert heartbeats and all(silence["Metrics"][0]["MetricStat"]["Metric"]["MetricName"] in line for line in heartbeats)
    assert all(cause in silence["AlarmDescription"] for cause in ["the heartbeat does not come", "a guard cannot be read"])


def test_as_many_errors_as_one_event_has_tries_set_the_alarm():
    stack = Stack()
    tries = 1 + stack.asynchronous()["MaximumRetryAttempts"]
    assert stack.properties("ErrorsAlarm")["Threshold"] == tries
    # Lambda waits a minute before the second try and two before the third.
    assert stack.properties("ErrorsAlarm")["Period"] > tries * stack.properties("Function")["Timeout"] + 60 + 120


def test_what_fails_three_times_is_in_the_queue_and_lambda_may_do_its_part():
    stack = Stack(Tracing="Active")
    queue = stack.attribute(["DeadLetters", "Arn"])
    assert stack.asynchronous()["MaximumRetryAttempts"] == 2
    assert stack.asynchronous()["DestinationConfig"]["OnFailure"]["Destination"] == queue
    log = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/drift-router-nyctaxi:log-stream:a"
    needed = [("sqs:SendMessage", queue), ("logs:CreateLogStream", log), ("logs:PutLogEvents", log)]
    needed += [("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")]
    for action, resource in needed:
        assert allows(stack, action, resource, "platform"), action
    assert not allows(Stack(), "xray:PutTraceSegments", "*", "platform")
    for mode in ["Active", "PassThrough"]:
        function = Stack(Tracing=mode).properties("Function")
        assert mode in [function.get("Tracing"), function.get("TracingConfig", {}).get("Mode")]


def test_two_existing_rules_have_two_names():
    refusals = lambda schedule, drift: Stack(ExistingScheduleRuleName=schedule, ExistingDriftRuleName=drift).refusals()
    assert not any(refusals(*names) for names in [("", ""), ("a", ""), ("", "a"), ("a", "b")])
    (refusal,) = refusals("a", "a")
    assert "name the same rule" in refusal


@pytest.mark.parametrize("waits", ["start", "wait"])
@pytest.mark.parametrize("per_day", [0, 1])
@pytest.mark.parametrize("trigger", ["event", "action", "none"])
@pytest.mark.parametrize("pipeline", ["sagemaker-nyctaxi-build", ""])
def test_cloudformation_refuses_a_wait_exactly_where_the_function_does(pipeline, trigger, per_day, waits):
    stack = Stack(CodePipelineName=pipeline, DeploymentTrigger=trigger, CatchUpPerDay=per_day, DeploymentWhileRunning=waits)
    assert variables(stack)["DEPLOYMENT_WHILE_RUNNING"] == waits
    faults = fault_of(variables(stack)) or ""
    refusals = " ".join(stack.refusals())
    for cause in ["no event of a CodePipeline starts retrainings", "no heartbeat would start what waits"]:
        assert cause in refusals or cause not in faults, (faults, refusals)
    assert bool(faults) == bool(refusals) == (waits == "wait" and not (pipeline and trigger == "event" and per_day))


def test_a_key_of_ones_own_encrypts_queue_and_log():
    key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    plain, own = Stack(), Stack(KmsKeyArn=key)
    assert plain.properties("DeadLetters")["SqsManagedSseEnabled"] is True
    assert "KmsMasterKeyId" not in plain.properties("DeadLetters") and "KmsKeyId" not in plain.properties("LogGroup")
    assert "kms" not in json.dumps(plain.policy("platform"))
    assert "SqsManagedSseEnabled" not in own.properties("DeadLetters")
    assert own.properties("DeadLetters")["KmsMasterKeyId"] == own.properties("LogGroup")["KmsKeyId"] == key
    assert all(allows(own, action, key, "platform") for action in ["kms:GenerateDataKey", "kms:Decrypt"])


def test_the_role_has_the_boundary_that_a_company_requires():
    boundary = "arn:aws:iam::123456789012:policy/team-boundary"
    assert "PermissionsBoundary" not in Stack().properties("Role")
    stack = Stack(PermissionsBoundaryArn=boundary)
    # There is no other role: SAM would make one for a function without a role.
    assert [role["PermissionsBoundary"] for role in stack.of_type("AWS::IAM::Role").values()] == [boundary]
    assert stack.properties("Function")["Role"] == stack.attribute(["Role", "Arn"])


def test_the_functions_code_is_checked_by_the_configuration_that_is_given():
    configuration = "arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-0123456789abcdef0"
    assert "CodeSigningConfigArn" not in Stack().properties("Function")
    assert Stack(CodeSigningConfigArn=configuration).properties("Function")["CodeSigningConfigArn"] == configuration


def test_the_function_is_in_the_subnets_that_are_given_and_lambda_may_make_its_network_interfaces():
    ec2 = lambda stack: [s for s in stack.policy("platform")["Statement"] if "ec2:" in json.dumps(s["Action"])]
    assert "VpcConfig" not in Stack().properties("Function") and ec2(Stack()) == []
    subnets, groups = ["subnet-0123456789abcdef0", "subnet-1a2b3c4d"], ["sg-0123456789abcdef0"]
    stack = Stack(SubnetIds=",".join(subnets), SecurityGroupIds=",".join(groups))
    assert stack.properties("Function")["VpcConfig"] == {"SubnetIds": subnets, "SecurityGroupIds": groups}
    allowed, denied = ec2(stack)
    # The actions of AWS's managed policy AWSLambdaVPCAccessExecutionRole.
    actions = {"Create", "Describe", "Delete"}
    expected = {f"ec2:{action}NetworkInterface{'s' * (action == 'Describe')}" for action in actions}
    expected |= {"ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"}
    assert (allowed["Effect"], set(allowed["Action"]), "Condition" in allowed) == ("Allow", expected, False)
    function = "arn:aws:lambda:us-east-1:123456789012:function:drift-router-nyctaxi"
    assert denied["Effect"] == "Deny" and denied["Action"] == allowed["Action"]
    assert denied["Condition"] == {"ArnEquals": {"lambda:SourceFunctionArn": function}}


def test_subnets_and_security_groups_come_together():
    refused = lambda subnets, groups: bool(Stack(SubnetIds=subnets, SecurityGroupIds=groups).refusals())
    assert not refused("", "") and not refused("subnet-1a", "sg-1a")
    assert refused("subnet-1a", "") and refused("", "sg-1a")


def test_the_sagemaker_projects_tags_are_on_function_role_and_queue_and_never_on_a_rule():
    stack = Stack(SageMakerProjectName="NYCtaxi", SageMakerProjectId="p-abcdefghijkl")
    expected = {"sagemaker:project-name": "NYCtaxi", "sagemaker:project-id": "p-abcdefghijkl"}
    for logical in ["Function", "Role", "DeadLetters"]:
        assert expected.items() <= stack.tags(logical).items()
    for logical in ["Role", "DeadLetters"]:
        assert not any(key.startswith("sagemaker:") for key in Stack().tags(logical))
    # SAM cannot omit a tag of the function.
    assert {key: "" for key in expected}.items() <= Stack().tags("Function").items()
    assert not any("Tags" in rule for rule in stack.of_type("AWS::Events::Rule").values())


def test_only_the_routers_own_tags_may_be_written():
    (statement,) = [s for s in Stack().policy("router")["Statement"] if s["Sid"] == "TagTheRules"]
    assert statement["Action"] == ["events:TagResource", "events:UntagResource"]
    condition = statement["Condition"]
    assert condition["ForAllValues:StringEquals"] == {"aws:TagKeys": ["drift-router:paused-by", "drift-router:owed-since"]}
    # Without any key, "ForAllValues" would be true.
    assert condition["Null"] == {"aws:TagKeys": "false"}


def test_the_function_knows_the_rules_by_their_names():
    stack = Stack()
    for variable, rule in [
        ("SCHEDULE_RULE_NAME", "ScheduleRule"),
        ("DRIFT_RULE_NAME", "DriftRule"),
        ("HEARTBEAT_NAME", "HeartbeatRule"),
    ]:
        assert variables(stack)[variable] == stack.properties(rule)["Name"]


def variables(stack):
    return stack.properties("Function")["Environment"]["Variables"]


def test_the_template_sets_the_variables_that_the_configuration_reads():
    of_the_sdk = {"AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"}
    # Read only to report that they were removed or renamed.
    of_earlier_versions = {"TRIGGER_PARAMETER_NAME", "RECONCILE_RULE_NAME"}
    assert set(variables(Stack())) - of_the_sdk == set(recorded("variables")) - of_earlier_versions


def allows(stack, action, resource, policy="router"):
    policy = IAMPolicy(json.dumps(stack.policy(policy)))
    return policy.is_action_permitted(action, resource) == PermissionResult.PERMITTED


def every_trigger():
    return [Stack(), Stack(DeploymentTrigger="action"), Stack(DeploymentTrigger="none")]


def test_every_call_of_the_tests_is_allowed_for_its_very_resource():
    calls = recorded("permissions")
    resource = lambda call: call["resource"].replace("${AWS::Region}", "us-east-1")
    refused = [c for c in calls if not any(allows(stack, c["action"], resource(c)) for stack in every_trigger())]
    assert calls and not refused


def test_every_allowed_action_is_one_that_the_tests_make():
    statements = [s for stack in every_trigger() for s in stack.policy("router")["Statement"]]
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
    assert not allows(Stack(DeploymentTrigger="action"), action, resource)


def metrics_shown(stack):
    """The metrics of the function that alarms and dashboard read, each as (name, dimension, value)."""
    alarms = stack.of_type("AWS::CloudWatch::Alarm").values()
    read = [alarm for alarm in alarms if "Namespace" in alarm]
    read += [m["MetricStat"]["Metric"] for alarm in alarms for m in alarm.get("Metrics", []) if "MetricStat" in m]
    shown = {
        (metric["MetricName"], *[v for d in metric["Dimensions"] for v in (d["Name"], d["Value"])])
        for metric in read
        if metric["Namespace"] == "DriftRouter"
    }
    (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(dashboard["DashboardBody"])
    for widget in body["widgets"]:
        before = []
        for row in widget["properties"].get("metrics", []):
            row = [cell for cell in row if isinstance(cell, str)]
            if not row:
                continue  # An expression on the metrics above.
            if row == ["..."]:
                row = before
            before = [old if cell == "." else cell for cell, old in zip(row, before or row)]
            if before[0] == "DriftRouter":
                shown.add(tuple(before[1:]))
    return shown


# CloudWatch's schema of a line of metrics, for the lines that the function writes: one directive, no arrays of values.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
METRIC = {
    "type": "object",
    "required": ["Name"],
    "additionalProperties": False,
    "properties": {"Name": NAME, "Unit": {"enum": ["Seconds", "Count"]}, "StorageResolution": {"enum": [1, 60]}},
}
DIRECTIVE = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "additionalProperties": False,
    "properties": {
        "Namespace": NAME,
        "Dimensions": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "minItems": 1, "maxItems": 30, "items": NAME | {"maxLength": 250}},
        },
        "Metrics": {"type": "array", "minItems": 1, "maxItems": 100, "items": METRIC},
    },
}
METADATA = {
    "type": "object",
    "required": ["Timestamp", "CloudWatchMetrics"],
    "additionalProperties": False,
    "properties": {
        "Timestamp": {"type": "integer", "minimum": 1_000_000_000_000},
        "CloudWatchMetrics": {"type": "array", "minItems": 1, "maxItems": 1, "items": DIRECTIVE},
    },
}


def test_every_line_of_metrics_satisfies_cloudwatchs_schema():
    for line in recorded("metrics"):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        names = [metric["Name"] for metric in directive["Metrics"]]
        dimensions = [name for names in directive["Dimensions"] for name in names]
        # Each name leads to a member of the line.
        members = {name: {"type": "number"} for name in names} | {name: NAME for name in dimensions}
        schema = {"required": ["_aws", *members], "additionalProperties": False, "properties": {"_aws": METADATA} | members}
        jsonschema.validate(line, schema)
        assert len(set(names)) == len(names)


def test_alarms_and_dashboard_read_the_metrics_that_the_function_emits():
    emitted = set()
    for line in recorded("metrics"):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "DriftRouter"
        (dimensions,) = directive["Dimensions"]
        emitted |= {(m["Name"], *[v for d in dimensions for v in (d, line[d])]) for m in directive["Metrics"]}
    assert metrics_shown(Stack()) == emitted


@pytest.mark.parametrize("alarms, days", [("", 0), ("", 45), ("fare-drift", 0), ("fare-drift", 45)])
def test_the_dashboard_shows_every_alarm(alarms, days):
    stack = Stack(DriftAlarmNames=alarms, MaxTrainingAgeDays=days)
    assert ("AlarmsMissingAlarm" in stack.of_type("AWS::CloudWatch::Alarm")) == bool(alarms)
    assert ("StaleAlarm" in stack.of_type("AWS::CloudWatch::Alarm")) == bool(days)
    (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    (shown,) = [w["properties"]["alarms"] for w in json.loads(dashboard["DashboardBody"])["widgets"] if w["type"] == "alarm"]
    assert set(shown) == {stack.attribute([logical, "Arn"]) for logical in stack.of_type("AWS::CloudWatch::Alarm")}


def test_the_dashboard_sums_what_is_counted_and_shows_the_maximum_of_what_is_measured():
    measured = {"InterlockEngaged", "GuardsHeld", "RetrainingFailing", "AlarmsMissing", "OwedSeconds", "TrainingAgeSeconds"}
    (dashboard,) = Stack().of_type("AWS::CloudWatch::Dashboard").values()
    for widget in json.loads(dashboard["DashboardBody"])["widgets"]:
        rows = [row for row in widget["properties"].get("metrics", []) if "expression" not in row[0]]
        if rows and rows[0][0] == "DriftRouter":
            is_measured = [row[1] in measured for row in rows]
            expected = "Maximum" if all(is_measured) else "Sum"
            assert widget["properties"]["stat"] == expected and all(is_measured) == any(is_measured), rows


def test_the_status_is_the_first_widget_and_is_read_only_when_the_dashboard_is_loaded():
    stack = Stack()
    (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    first, *others = json.loads(dashboard["DashboardBody"])["widgets"]
    assert (first["type"], first["x"], first["y"]) == ("custom", 0, 0)
    assert all(widget["type"] != "custom" for widget in others)
    assert first["properties"]["endpoint"] == stack.outputs["FunctionArn"]
    assert first["properties"]["updateOn"] == {"refresh": False, "resize": False, "timeRange": False}
    # Who may look and press the buttons is decided by the permission to invoke the function. The stack gives it to nobody but AWS.
    principals = [permission["Principal"] for permission in stack.of_type("AWS::Lambda::Permission").values()]
    assert all(principal.endswith(".amazonaws.com") for principal in principals), principals


def test_no_widgets_of_the_dashboard_overlap():
    (dashboard,) = Stack().of_type("AWS::CloudWatch::Dashboard").values()
    taken = set()
    for widget in json.loads(dashboard["DashboardBody"])["widgets"]:
        columns = range(widget["x"], widget["x"] + widget["width"])
        cells = set(itertools.product(columns, range(widget["y"], widget["y"] + widget["height"])))
        assert widget["x"] + widget["width"] <= 24 and not cells & taken, widget["properties"]["title"]
        taken |= cells


def test_alarms_notify_the_topic_where_one_is_given():
    topic = "arn:aws:sns:us-east-1:123456789012:oncall"
    silent, loud = Stack(), Stack(NotificationTopicArn=topic)
    assert len(silent.of_type("AWS::CloudWatch::Alarm")) == 9
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


@pytest.mark.parametrize("direct", ["Off", "On"])
def test_nobody_but_the_stacks_rules_and_the_accounts_alarms_may_invoke_the_function(direct):
    stack = Stack(DirectAlarmActions=direct)
    permissions = stack.of_type("AWS::Lambda::Permission").values()
    alarms = {"lambda.alarms.cloudwatch.amazonaws.com"} if direct == "On" else set()
    assert {p["Principal"] for p in permissions} == {"events.amazonaws.com"} | alarms
    # Each for one rule, or for the alarms of the account.
    assert all(p["SourceArn"].split(":")[4] == "123456789012" for p in permissions)
    assert not {"FunctionUrlConfig", "Events"} & set(stack.properties("Function"))
    assert "AWS::Lambda::Url" not in {resource["Type"] for resource in stack.resources.values()}


def test_concurrency_is_reserved_unless_it_is_zero():
    assert Stack().properties("Function")["ReservedConcurrentExecutions"] == 1
    assert "ReservedConcurrentExecutions" not in Stack(ReservedConcurrency=0).properties("Function")


def test_the_description_of_the_reserved_concurrency_names_the_error_of_a_small_account():
    error = "decreases account's UnreservedConcurrentExecution below its minimum value"
    assert error in " ".join(TEMPLATE["Parameters"]["ReservedConcurrency"]["Description"].split())
    assert error in (ROOT / "docs" / "deployment.md").read_text()


# The partitions of the Regions that the tests of config.rs name, and the host of each console.
PARTITIONS = [
    ("aws", "us-east-1", "us-east-1.console.aws.amazon.com"),
    ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
    ("aws-eusc", "eusc-de-east-1", "eusc-de-east-1.console.amazonaws-eusc.eu"),
    ("aws-iso", "us-iso-east-1", "us-iso-east-1.console.c2shome.ic.gov"),
    ("aws-iso-b", "us-isob-east-1", "us-isob-east-1.console.sc2shome.sgov.gov"),
    ("aws-iso-e", "eu-isoe-west-1", "eu-isoe-west-1.console.csphome.adc-e.uk"),
    ("aws-iso-f", "us-isof-south-1", "us-isof-south-1.console.csphome.hci.ic.gov"),
    ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
]


@pytest.mark.parametrize("partition, region, console", PARTITIONS)
def test_nothing_is_tied_to_one_partition(partition, region, console):
    assert f'"{region}"' in (ROOT / "src" / "config" / "sdk.rs").read_text()
    stack = Stack(**{"AWS::Partition": partition, "AWS::Region": region})
    told = json.dumps([stack.policy("router"), stack.policy("platform"), stack.resources, stack.outputs])
    assert f"arn:{partition}:" in told and (partition == "aws" or "arn:aws:" not in told)
    url = f"https://{console}/cloudwatch/home?region={region}#dashboards:name=drift-router-nyctaxi-{region}-overview"
    assert stack.outputs["DashboardUrl"] == url
    assert "arn:aws:" not in (ROOT / "template.yaml").read_text()


def test_every_parameter_is_in_a_group_and_is_used(template):
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])
    text = json.dumps([template["Resources"], template["Conditions"]])
    assert [name for name in grouped if f'{{"Ref": "{name}"}}' not in text and f"${{{name}}}" not in text] == []


def test_the_application_repositorys_files_exist():
    application = TEMPLATE["Metadata"]["AWS::ServerlessRepo::Application"]
    assert (ROOT / application["ReadmeUrl"]).exists() and (ROOT / application["LicenseUrl"]).exists()
    assert f'version = "{application["SemanticVersion"]}"' in (ROOT / "Cargo.toml").read_text()


def test_the_stack_says_its_version():
    stack = Stack()
    version = stack.outputs["Version"]
    assert stack.tags("Function")["Version"] == version
    assert f'\nversion = "{version}"\n' in (ROOT / "Cargo.toml").read_text()


def guide_with_values():
    """The guide for cargo-lambda alone with the values of the shell's variables."""
    guide = (ROOT / "docs" / "cargo-lambda.md").read_text()
    names = {"account": "123456789012", "region": "us-east-1", "project": "nyctaxi", "pipeline": "nyctaxi-pipeline"}
    names |= {"codepipeline": "sagemaker-nyctaxi-build", "function": "drift-router-nyctaxi"}
    for name in sorted(names, key=len, reverse=True):
        guide = guide.replace(f"${name}", names[name])
    return guide


def test_the_guide_for_cargo_lambda_alone_makes_the_rules_that_the_stack_makes():
    patterns = dict(re.findall(r'^rule (\w+) --event-pattern "(.*)"$', guide_with_values(), re.MULTILINE))
    patterns = {name: json.loads(pattern.replace('\\"', '"')) for name, pattern in patterns.items()}
    stack = Stack(DriftAlarmNames="sagemaker-nyctaxi-prod-threshold")
    rules = {"drift": "DriftRule", "code": "CodeRule", "status": "StatusRule"}
    assert patterns == {name: stack.properties(rule)["EventPattern"] for name, rule in rules.items()}


def test_the_guide_for_cargo_lambda_alone_grants_what_the_stack_grants():
    policy = guide_with_values().split("cat > policy.json <<JSON\n")[1].split("\nJSON\n")[0]

    def grants(statements):
        listed = lambda value: value if isinstance(value, list) else [value]
        return {
            (action, resource, json.dumps(statement.get("Condition"), sort_keys=True))
            for statement in statements
            for action in listed(statement["Action"])
            for resource in listed(statement["Resource"])
        }

    stack = grants(Stack().policy("router")["Statement"] + Stack().policy("platform")["Statement"])
    # The stack makes the log group itself.
    own = ("logs:CreateLogGroup", "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/drift-router-nyctaxi:*", "null")
    assert grants(json.loads(policy)["Statement"]) == stack | {own}
