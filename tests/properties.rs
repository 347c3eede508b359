//! Properties: any JSON is read or refused. For all names and texts that a project may have, the services accept the router's
//! requests.
//!
//! The simulator checks every input against the services' documented patterns and lengths. `PROPTEST_CASES=n` sets the number of
//! inputs for each property.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, reason = "tests")]

#[path = "common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the scenarios use all of it")]
mod common;

use std::collections::BTreeMap;

use common::Lab;
use drift_router::Config;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};
use simulator::Project;
use simulator::nyctaxi::SAGEMAKER_PIPELINE_ARN;
use simulator::samples::{sample_event, sample_with, status_event};

const SAMPLES: [&str; 14] = [
    "code-deployed",
    "code-rolled-back",
    "codepipeline-job",
    "codepipeline-job-continued",
    "drift-alarm",
    "drift-alarm-action",
    "drift-alarm-composite",
    "execution-executing",
    "execution-succeeded",
    "heartbeat",
    "retrain",
    "schedule",
    "scheduler-tick",
    "status",
];

/// The sources and types of the events that are handled.
const KINDS: [(&str, &str); 7] = [
    ("aws.cloudwatch", "CloudWatch Alarm State Change"),
    ("aws.codepipeline", "CodePipeline Pipeline Execution State Change"),
    ("aws.events", "Scheduled Event"),
    ("aws.sagemaker", "SageMaker Model Building Pipeline Execution Status Change"),
    ("aws.scheduler", "Scheduled Event"),
    ("drift-router", "Retrain"),
    ("drift-router", "Status"),
];

/// Runs a property's test on a paused clock.
fn on_paused_clock<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}

/// Checks that no call was refused because of its format.
fn assert_well_formed(lab: &Lab) {
    for call in &lab.simulator.world().calls {
        let code = call.result.as_ref().err().map_or("", String::as_str);
        let is_malformed =
            ["ValidationException", "SerializationException", "UnknownOperationException"].contains(&code);
        assert!(!is_malformed, "{} was refused for its form: {}", call.operation, call.input);
    }
}

/// Sends an event twice. Checks that any event gets an answer or an error with a message, that the second delivery starts
/// nothing, and that the router's requests are well-formed.
async fn send_twice(lab: &Lab, event: Value) {
    lab.simulator.world().force_state(&event);
    let mut executions = Vec::new();
    for _ in 0..2 {
        if let Err(error) = lab.try_send(event.clone()).await {
            assert!(!error.error_message.is_empty() && error.error_message.len() < 3000, "{}", error.error_message);
        }
        executions.push(lab.executions());
    }
    assert_eq!(executions[0], executions[1], "the same event, delivered twice, started something more");
    assert_well_formed(lab);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec!["", "ALARM", "SUCCEEDED", "aws.events", "2021-07-28T07:02:04.149+0000", "9999-12-31T23:59:59Z"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let name = prop_oneof![
            any::<String>(),
            select(vec![
                "source",
                "detail-type",
                "detail",
                "resources",
                "time",
                "alarmData",
                "CodePipeline.job",
                "data",
                "id",
                "reason",
                "force"
            ])
            .prop_map(str::to_owned),
        ];
        let envelope = (select(&KINDS[..]), inner.clone(), inner.clone(), inner.clone());
        prop_oneof![
            envelope.prop_map(|((source, detail_type), detail, resources, time)| json!({
                "source": source, "detail-type": detail_type, "detail": detail, "resources": resources, "time": time,
            })),
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(name, inner, 0..6).prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The pointers to all values within a value, itself included.
fn pointers(value: &Value) -> Vec<String> {
    let mut pointers = vec![String::new()];
    let mut add = |name: &str, inner: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        pointers.extend(self::pointers(inner).into_iter().map(|rest| format!("/{name}{rest}")));
    };
    match value {
        Value::Array(values) => values.iter().enumerate().for_each(|(index, inner)| add(&index.to_string(), inner)),
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| add(name, inner)),
        _ => {}
    }
    pointers
}

/// A text of at most `longest` characters, with all characters that names and messages may contain.
fn text(longest: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        vec(any::<char>(), 1..=longest).prop_map(|chars| chars.into_iter().collect::<String>()),
        proptest::string::string_regex(&format!("[ -~]{{1,{longest}}}")).unwrap(),
        proptest::string::string_regex(&format!("[-A-Za-z{{}}\n/]{{1,{longest}}}")).unwrap(),
    ]
}

/// The name of a SageMaker pipeline: `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}`, 256 characters at most.
fn pipeline_name() -> impl Strategy<Value = String> {
    let inner = proptest::string::string_regex("[-a-zA-Z0-9]{0,254}").unwrap();
    ("[a-zA-Z0-9]", inner, "[a-zA-Z0-9]").prop_map(|(first, inner, last)| format!("{first}{inner}{last}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_read_or_refused(event in any_json()) {
        on_paused_clock(async { send_twice(&Lab::new(), event).await });
    }

    #[test]
    fn a_sample_with_anything_in_some_places_is_read_or_refused(
        sample in select(&SAMPLES[..]),
        changes in vec((any::<Index>(), any_json()), 1..4),
        is_action in any::<bool>(),
    ) {
        let mut event = sample_event(sample);
        for (place, value) in changes {
            let pointers = pointers(&event);
            *event.pointer_mut(&pointers[place.index(pointers.len())]).unwrap() = value;
        }
        let lab = if is_action { Lab::with_actions() } else { Lab::new() };
        on_paused_clock(async move { send_twice(&lab, event).await });
    }

    #[test]
    fn an_alarm_of_any_name_starts_one_execution(name in text(255), reason in text(1024)) {
        on_paused_clock(async {
            let lab = Lab::new();
            let event = sample_with(
                "drift-alarm",
                &[("/detail/alarmName", name.clone().into()), ("/detail/state/reason", reason.into())],
            );
            lab.simulator.world().force_state(&event);
            assert_eq!(lab.send(event.clone()).await["action"], "started");
            assert_eq!(lab.send(event).await["action"], "duplicate");
            assert_well_formed(&lab);
        });
    }

    #[test]
    fn an_alarm_of_any_name_is_found_by_the_heartbeat(name in text(255)) {
        // Commas separate the names in the list, and spaces around them are ignored.
        let name = name.replace([',', '\0'], "x").trim().to_owned();
        prop_assume!(!name.is_empty());
        on_paused_clock(async {
            let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &name)]);
            lab.simulator.world().change_alarm(&name, "ALARM");
            tokio::time::advance(std::time::Duration::from_mins(6)).await;
            assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "started");
            assert_well_formed(&lab);
        });
    }

    #[test]
    fn two_deployments_of_any_ids_start_one_execution_each(ids in proptest::array::uniform2(text(300))) {
        prop_assume!(ids[0] != ids[1]);
        on_paused_clock(async {
            let lab = Lab::new();
            for id in ids {
                let event = sample_with("code-deployed", &[("/detail/execution-id", id.into())]);
                lab.simulator.world().force_state(&event);
                assert_eq!(lab.send(event).await["action"], "started");
            }
            let names = lab.executions();
            assert_ne!(names[0], names[1]);
            assert_well_formed(&lab);
        });
    }

    #[test]
    fn an_execution_of_any_id_engages_and_releases_the_guards(id in text(100)) {
        // An ARN ends with the id, and contains no line break.
        let id = id.replace(['/', '\n'], "x");
        on_paused_clock(async {
            let lab = Lab::new();
            let arn = format!("{SAGEMAKER_PIPELINE_ARN}/execution/{id}");
            for status in ["Executing", "Succeeded"] {
                let event = status_event(&arn, status);
                lab.simulator.world().force_state(&event);
                lab.send(event).await;
                match status {
                    "Executing" => lab.assert_engaged(),
                    _ => lab.assert_released(),
                }
            }
            assert_well_formed(&lab);
        });
    }

    #[test]
    fn routers_of_any_two_pipelines_leave_each_others_guards(
        one in pipeline_name(),
        two in prop_oneof![pipeline_name().boxed(), Just(String::new()).boxed()],
        cut in any::<Index>(),
    ) {
        // Sometimes one name is the beginning of the other.
        let two = if two.is_empty() { one[..=cut.index(one.len())].trim_end_matches('-').to_owned() } else { two };
        // SageMaker's names differ in more than the case of their letters.
        prop_assume!(!one.eq_ignore_ascii_case(&two));
        on_paused_clock(async {
            let lab = Lab::new();
            for name in [&one, &two] {
                lab.simulator.world().sagemaker.add_pipeline(name);
            }
            lab.simulator.world().start_execution_of(&one, None);
            lab.router_of(&one).send(sample_event("heartbeat")).await;
            lab.assert_engaged();
            let answer = lab.router_of(&two).send(sample_event("heartbeat")).await;
            assert!(answer["interlock"]["stage"]["heldBy"].is_string(), "{answer}");
            lab.assert_engaged();
            assert_well_formed(&lab);
        });
    }

    #[test]
    fn any_parameter_value_is_sent_as_it_is_written(value in text(1024), name in "[-_A-Za-z0-9]{1,256}") {
        let parameters = json!({ &name: value.replace('{', "{{") }).to_string();
        on_paused_clock(async {
            let lab = Lab::with(&[("PIPELINE_PARAMETERS", &parameters)]);
            lab.simulator.world().sagemaker.parameters = vec![name.clone()];
            lab.deliver("code-deployed").await;
            let world = lab.simulator.world();
            assert_eq!(world.sagemaker.executions[0].parameters, json!([{ "Name": name, "Value": value }]));
        });
    }

    #[test]
    fn any_pipeline_parameters_are_refused_at_start_up_or_accepted_by_sagemaker(
        parameters in btree_map(
            prop_oneof!["[-_A-Za-z0-9]{1,20}", text(300)],
            prop_oneof![text(1100), "(\\{key\\}|\\{time\\}|\\{trigger\\}|[ -z]){0,40}"],
            0..5,
        ),
        alarm in text(255),
    ) {
        let text = serde_json::to_string(&parameters).unwrap();
        let lookup = Project::nyctaxi();
        let lookup = lookup.lookup(&[("PIPELINE_PARAMETERS", &text)]);
        match Config::from_lookup(lookup) {
            Err(error) => assert!(error.to_string().contains("PIPELINE_PARAMETERS"), "{error}"),
            Ok(_) => on_paused_clock(async {
                let lab = Lab::with(&[("PIPELINE_PARAMETERS", &text)]);
                lab.simulator.world().sagemaker.parameters = parameters.keys().cloned().collect();
                let event = sample_with("drift-alarm", &[("/detail/alarmName", alarm.into())]);
                lab.simulator.world().force_state(&event);
                assert_eq!(lab.send(event).await["action"], "started");
                assert_well_formed(&lab);
            }),
        }
    }

    #[test]
    fn a_request_of_any_id_with_any_reason_starts_one_execution(
        id in text(64),
        reason in text(4000),
        parameters in btree_map("[-_A-Za-z0-9]{1,20}", text(1024), 0..4),
        is_forced in any::<bool>(),
    ) {
        on_paused_clock(async {
            let lab = Lab::new();
            lab.simulator.world().sagemaker.parameters = parameters.keys().cloned().collect();
            let detail = json!({ "id": id, "reason": reason, "parameters": parameters, "force": is_forced });
            let event = sample_with("retrain", &[("/detail", detail)]);
            assert_eq!(lab.send(event.clone()).await["action"], "started");
            assert_eq!(lab.send(event).await["action"], "duplicate");
            let status = lab.send(sample_event("status")).await;
            assert_eq!(status["executions"][0]["trigger"], "request");
            assert_well_formed(&lab);
        });
    }

    #[test]
    fn a_job_with_any_user_parameters_is_answered(
        user_parameters in prop_oneof![
            text(1000),
            any_json().prop_map(|value| value.to_string()),
            btree_map(text(20), text(1100), 0..4).prop_map(|given: BTreeMap<_, _>| json!({ "Parameters": given }).to_string()),
        ],
    ) {
        on_paused_clock(async {
            let lab = Lab::with_actions();
            // The pipeline has the parameters that the action gives.
            let given: Value = serde_json::from_str(&user_parameters).unwrap_or_default();
            let names = given["Parameters"].as_object().into_iter().flat_map(Map::keys).cloned();
            lab.simulator.world().sagemaker.parameters = names.collect();
            let job = lab.simulator.world().run_action(Some(&user_parameters)).unwrap();
            send_twice(&lab, job).await;
            let calls = lab.take_calls();
            let is_answer = |call: &&String| call.starts_with("PutJob");
            assert!(calls.iter().any(|call| is_answer(&call)), "the action is not answered: {calls:?}");
        });
    }

    #[test]
    fn a_job_with_any_continuation_token_is_answered(token in text(2048)) {
        on_paused_clock(async {
            let lab = Lab::with_actions();
            let mut job = sample_event("codepipeline-job");
            job["CodePipeline.job"]["data"]["continuationToken"] = token.into();
            send_twice(&lab, job).await;
            let calls = lab.take_calls();
            let is_answer = |call: &&String| call.starts_with("PutJob");
            assert!(calls.iter().any(|call| is_answer(&call)), "the action is not answered: {calls:?}");
        });
    }
}
