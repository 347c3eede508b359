//! A widget of a CloudWatch dashboard shows the status as a page. With `RECORD=DIRECTORY` in the environment, the pages are written to
//! `DIRECTORY/pages`, for `.ci/pages.mjs`.

use std::path::Path;
use std::{env, fs};

use serde_json::{Value, json};
use simulator::nyctaxi::{ALARM, ALARM_NAMES, DRIFT_RULE, SCHEDULE_RULE, STAGE, STAGING_ALARM};
use simulator::samples::sample_event;
use simulator::time::{DAY, HOUR, MINUTE};
use simulator::{Fault, fault};

use crate::common::Lab;
use crate::common::marks::HOLD;

const ALARMS: (&str, &str) = ("DRIFT_ALARM_NAMES", ALARM_NAMES);

/// A text that would be a script, a tag or an attribute if it were not escaped.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;";

/// What CloudWatch adds to every payload of a widget.
fn context(width: u32, theme: &str) -> Value {
    json!({
        "dashboardName": "drift-router-nyctaxi-us-east-1-overview",
        "widgetId": "widget-1",
        "accountId": "123456789012",
        "locale": "en",
        "timezone": { "label": "Local", "offsetISO": "+02:00", "offsetInMinutes": 120 },
        "theme": theme,
        "params": {},
        "forms": { "all": {} },
        "width": width,
        "height": 600,
    })
}

impl Lab {
    /// The answer to a widget that sends `payload`.
    async fn page_after(&self, mut payload: Value) -> String {
        payload["widgetContext"] = context(900, "light");
        self.send(payload).await.as_str().unwrap().to_owned()
    }

    async fn page(&self) -> String {
        self.page_after(json!({})).await
    }

    /// The page, which is recorded in several widths and themes.
    async fn recorded(&self, name: &str) -> String {
        for (width, theme) in [(400, "light"), (400, "dark"), (1600, "dark")] {
            let page = self.send(json!({ "widgetContext": context(width, theme) })).await;
            record(&format!("{name}-{theme}-{width}"), page.as_str().unwrap());
        }
        let page = self.page().await;
        record(&format!("{name}-light-900"), &page);
        page
    }

    /// Presses the button of this name, as CloudWatch does.
    async fn press(&self, button: &str) -> String {
        let page = self.page().await;
        let event = event_of(&page, button).unwrap_or_else(|| panic!("no button {button}: {page}"));
        self.page_after(event).await
    }
}

/// Writes a page for `.ci/pages.mjs`, and checks its size.
fn record(name: &str, page: &str) {
    assert!(page.len() < 100_000, "{name}: {} bytes", page.len());
    let Some(directory) = env::var_os("RECORD") else { return };
    let directory = Path::new(&directory).join("pages");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(name).with_extension("html"), page).unwrap();
}

/// The event of a button, if the page has it: the text of the action after it.
fn event_of(page: &str, button: &str) -> Option<Value> {
    let (_, rest) = page.split_once(&format!(">{button}</a>"))?;
    let (action, _) = rest.split_once("</cwdb-action>")?;
    let (tag, text) = action.split_once('>')?;
    assert!(tag.contains("action=\"call\"") && tag.contains("confirmation=\""), "{tag}");
    assert!(tag.contains("endpoint=\"arn:aws:lambda:us-east-1:123456789012:function:"), "{tag}");
    Some(serde_json::from_str(&text.replace("&quot;", "\"").replace("&amp;", "&")).unwrap())
}

/// What a person reads: the page without its tags, its style and its events.
fn text(page: &str) -> String {
    let mut text = String::new();
    for part in page.split('<').skip(1) {
        let (tag, words) = part.split_once('>').unwrap();
        if !tag.starts_with("style") && !tag.starts_with("cwdb-action") {
            text.push_str(words);
        }
        if tag.starts_with('/') && !text.ends_with(' ') {
            text.push(' ');
        }
    }
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

#[track_caller]
fn assert_reads(page: &str, sentences: &[&str]) {
    let text = text(page);
    for sentence in sentences {
        assert!(text.contains(sentence), "no {sentence:?} in: {text}");
    }
}

#[track_caller]
fn assert_lacks(page: &str, sentences: &[&str]) {
    let text = text(page);
    for sentence in sentences {
        assert!(!text.contains(sentence), "{sentence:?} in: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_project_in_which_nothing_happened_is_all_quiet() {
    let lab = Lab::new();
    let page = lab.recorded("empty").await;
    assert_reads(
        &page,
        &[
            "nyctaxi-pipeline ✓ all quiet",
            "No execution runs; nothing is owed.",
            "as of 28 May 2021 09:33 UTC+02:00",
            "0 starts in 24 hours (brake at 4)",
            "Build stage ✓ enabled Build of sagemaker-nyctaxi-build",
            "Nothing: no deployment, no tick and no alarm.",
            "None yet.",
        ],
    );
    assert_eq!(event_of(&page, "Retrain now").unwrap()["detail"]["id"], "after-none");
    assert!(
        page.contains("https://us-east-1.console.aws.amazon.com/events/home?region=us-east-1#/eventbus/default/rules/")
    );
    // An emulator's function is in no account.
    assert!(!lab.with_function_arn("").page().await.contains("https://"));
}

/// Trainings of two weeks, an alarm that waits for the cooldown, and one that a mute rule mutes.
async fn busy_weeks(lab: &Lab) {
    for (number, word) in ["Succeeded", "Stopped", "Succeeded", "Succeeded"].into_iter().enumerate() {
        let event = lab.simulator.world().code_deployed(&format!("3f0c{number}"));
        lab.send(event).await;
        let arn = lab.simulator.world().sagemaker.executions.last().unwrap().arn.clone();
        tokio::time::advance(6 * HOUR).await;
        lab.simulator.world().set_execution_status(&arn, word);
        lab.send(sample_event("heartbeat")).await;
        tokio::time::advance(3 * DAY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_retraining_that_runs_is_shown_with_what_waits_for_its_end() {
    let lab = Lab::with(&[ALARMS, ("DRIFT_COOLDOWN", "12h")]);
    busy_weeks(&lab).await;
    lab.simulator.world().change_alarm(STAGING_ALARM, "OK");
    let tick = lab.simulator.world().tick(SCHEDULE_RULE).unwrap();
    lab.send(tick).await;
    tokio::time::advance(20 * HOUR).await;
    lab.simulator.world().change_alarm(ALARM, "ALARM");
    tokio::time::advance(HOUR).await;
    let page = lab.recorded("busy").await;
    assert_reads(
        &page,
        &[
            "▶ a retraining runs",
            "1 finding waits for its end.",
            "disabled while a retraining runs",
            "drift · sagemaker-nyctaxi-prod-threshold",
            "▶ running",
            "▶ Executing 21 h",
            "✓ Succeeded 6 h",
            "■ Stopped",
        ],
    );
    assert_eq!(event_of(&page, "Retrain now"), None);
    assert!(event_of(&page, "Heartbeat now").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shown_with_its_step_and_what_to_do_until_a_training_succeeds() {
    let lab = Lab::with(&[ALARMS]);
    busy_weeks(&lab).await;
    lab.simulator.world().change_alarm(STAGING_ALARM, "OK");
    let event = lab.simulator.world().change_alarm(ALARM, "ALARM").unwrap();
    lab.send(event).await;
    let arn = lab.simulator.world().sagemaker.executions.last().unwrap().arn.clone();
    tokio::time::advance(2 * HOUR).await;
    let reason = "CapacityError: Unable to provision requested ML compute capacity";
    lab.simulator.world().fail_step(&arn, "TrainModel", reason);
    lab.send(sample_event("heartbeat")).await;
    tokio::time::advance(HOUR).await;
    lab.simulator.world().change_alarm(STAGING_ALARM, "ALARM");
    tokio::time::advance(HOUR).await;
    let page = lab.recorded("failing").await;
    assert_reads(
        &page,
        &[
            "✗ the newest retraining failed",
            "Step TrainModel failed: CapacityError: Unable to provision requested ML compute capacity. The router does not repeat",
            "TrainModel: CapacityError: Unable",
            "drift · sagemaker-nyctaxi-prod-threshold e9syl8hhxxmc",
            "… next from 11 Jun 09:33 on",
            "a heartbeat starts drift sagemaker-nyctaxi-staging-threshold (of 10 Jun 12:33) from 11 Jun 09:33 on.",
            "… cooling down",
            "cooldown",
            "next: drift",
            "✗ Failed 2 h",
        ],
    );
    // The buttons: the failure stays while the next training runs, and ends with its success.
    let page = lab.press("Retrain now").await;
    assert_reads(
        &page,
        &["Retrain: started, execution", "▶ a retraining runs", "✗ the newest retraining failed", "Another one runs."],
    );
    let newest = lab.simulator.world().sagemaker.executions.last().unwrap().arn.clone();
    tokio::time::advance(HOUR).await;
    lab.simulator.world().set_execution_status(&newest, "Succeeded");
    assert_lacks(&lab.page().await, &["failed:", "the newest retraining failed"]);
}

#[tokio::test(start_paused = true)]
async fn two_clicks_or_two_viewers_start_one_retraining() {
    let lab = Lab::new();
    let event = event_of(&lab.page().await, "Retrain now").unwrap();
    assert_reads(&lab.page_after(event.clone()).await, &["✓ Retrain: started, execution"]);
    assert_reads(&lab.page_after(event.clone()).await, &["■ Retrain: duplicate, execution"]);
    let arn = lab.simulator.world().sagemaker.executions[0].arn.clone();
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
    tokio::time::advance(HOUR).await;
    assert_reads(&lab.page_after(event).await, &["■ Retrain: duplicate"]);
    assert_eq!(lab.executions().len(), 1);
    // The page of now has another id.
    assert_reads(&lab.press("Retrain now").await, &["✓ Retrain: started"]);
    assert_eq!(lab.executions().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_of_the_page_starts_what_the_page_names() {
    let lab = Lab::with(&[ALARMS]);
    lab.simulator.world().change_alarm(STAGING_ALARM, "OK");
    lab.simulator.world().change_alarm(ALARM, "ALARM");
    tokio::time::advance(HOUR).await;
    let page = lab.recorded("due").await;
    assert_reads(
        &page,
        &["… a retraining is due", "the next heartbeat starts drift sagemaker-nyctaxi-prod-threshold", "… owed"],
    );
    let page = lab.press("Heartbeat now").await;
    record("started-light-900", &page);
    assert_reads(&page, &["✓ Heartbeat: started, execution", "▶ a retraining runs"]);
    assert_eq!(lab.executions(), ["drift-sagemaker-nyctaxi-prod-threshold-2021-05-28T07-33-21Z-61a33293212038d6"]);
    // Without heartbeats there is no such button.
    let none = lab.with_variables(&[("HEARTBEAT_NAME", "")]);
    assert_eq!(event_of(&none.page().await, "Heartbeat now"), None);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_holds_is_shown_with_its_effect() {
    let lab = Lab::with(&[ALARMS]);
    lab.simulator.world().operate_stage(STAGE, Some(HOLD));
    lab.simulator.world().operate_rule(SCHEDULE_RULE, false);
    lab.simulator.world().sagemaker.add_pipeline("other-pipeline");
    let other = lab.router_of("other-pipeline");
    other.send(sample_event("retrain")).await;
    let page = lab.recorded("held").await;
    assert_reads(
        &page,
        &[
            "! held",
            &format!("Build stage is disabled, and not by this router ({HOLD}): new code is not built. Enable it when"),
            "Schedule rule is disabled, and not by this router: its ticks start nothing.",
            "Drift rule is disabled by the router of other-pipeline: no event of it arrives until that router enables it.",
            "! held by another router",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_said_with_the_reason() {
    let lab = Lab::with(&[ALARMS]);
    busy_weeks(&lab).await;
    let lab = lab.with_variables(&[ALARMS, ("MODE", "dry-run")]);
    let denied = || Fault::Refused("AccessDeniedException");
    for operation in ["GetPipelineState", "DescribeAlarms", "codepipeline:ListPipelineExecutions"] {
        lab.simulator.world().inject(fault::next(operation, 99, denied()));
    }
    let page = lab.recorded("unreadable").await;
    assert_reads(
        &page,
        &["✗ something cannot be read", "Build stage cannot be read: ", "check the permission", "MODE is dry-run"],
    );
    lab.simulator.world().inject(fault::next("sagemaker:ListPipelineExecutions", 99, denied()));
    let page = lab.recorded("nothing-readable").await;
    assert_reads(&page, &["The executions cannot be read, so nothing can be decided."]);

    assert_eq!((event_of(&page, "Retrain now"), page.contains("<svg viewBox=\"0 0")), (None, false));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_executions_and_a_hundred_alarms_fit_on_the_page() {
    let names: Vec<String> = (0..100).map(|number| format!("alarm-{number:02}-{}", "é".repeat(200))).collect();
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &names.join(",")), ("DRIFT_COOLDOWN", "1h")]);
    for number in 0..100 {
        let arn = lab.simulator.world().start_execution(Some(&format!("experiment-{number}")));
        tokio::time::advance(HOUR).await;
        lab.simulator.world().set_execution_status(&arn, if number % 3 == 0 { "Failed" } else { "Succeeded" });
    }
    for name in &names {
        lab.simulator.world().change_alarm(name, "ALARM");
        tokio::time::advance(10 * MINUTE).await;
    }
    let page = lab.recorded("hundred").await;
    assert_reads(&page, &[" more: the status as JSON has all of them.", "not by this router"]);
}

#[tokio::test(start_paused = true)]
async fn hostile_names_reasons_and_steps_are_text() {
    let alarm = HOSTILE.replace(',', " ");
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &format!("{alarm},none{alarm}"))]);
    lab.simulator.world().change_alarm(&alarm, "ALARM");
    lab.simulator.world().operate_stage(STAGE, Some(HOSTILE));
    let arn = lab.simulator.world().start_execution(Some(HOSTILE));
    lab.simulator.world().fail_step(&arn, HOSTILE, &HOSTILE.repeat(100));
    let mut event = sample_event("retrain");
    event["detail"]["reason"] = HOSTILE.into();
    event["detail"]["id"] = HOSTILE.into();
    lab.send(event).await;
    tokio::time::advance(HOUR).await;
    let page = lab.recorded("hostile").await;
    assert_reads(&page, &[&format!("({HOSTILE})"), &format!("drift · {alarm}"), &format!("Step {HOSTILE} failed")]);
    for tag in ["<script", "<img", "onerror=alert(1)>"] {
        assert!(!page.contains(tag), "{tag}");
    }
    // An answer to an event, and an error, too.
    let page = lab.page_after(json!({ "source": "drift-router", "detail-type": HOSTILE })).await;
    record("error-light-900", &page);
    assert_reads(&page, &["✗ This failed: there is no request of type"]);
    assert!(!page.contains("<img"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn every_answer_to_a_widget_is_a_page_also_an_error() {
    let lab = Lab::new();
    for (payload, reads) in [
        (json!({ "source": "drift-router", "detail-type": "Status" }), "No execution runs"),
        (json!({ "source": "drift-router", "detail-type": "Ask" }), "This failed: there is no request of type \"Ask\""),
        (json!({ "source": "drift-router", "detail-type": "Retrain" }), "This failed: the event has no detail.id"),
        (json!({ "source": "x", "detail-type": 1 }), "No execution runs; nothing is owed."),
        (json!({ "Records": [], "detail-type": "y" }), "No execution runs; nothing is owed."),
        (json!({ "any": "parameter" }), "No execution runs; nothing is owed."),
        (sample_event("code-failed"), "■ Code pipeline: ignored: "),
        (sample_event("heartbeat"), "✓ Heartbeat: unchanged: no execution runs."),
    ] {
        assert_reads(&lab.page_after(payload).await, &[reads, "nyctaxi-pipeline"]);
    }
    // What CloudWatch says of the widget may be wrong.
    for context in
        [json!(null), json!({}), json!(1), json!({ "width": -1, "timezone": { "offsetISO": "+99:99" }, "theme": 1 })]
    {
        let page = lab.send(json!({ "widgetContext": context })).await;
        assert!(page.as_str().unwrap().contains("07:33 UTC "), "{context}: {page}");
    }
    let context_of = json!({ "timezone": { "label": "UTC", "offsetISO": "-03:30", "offsetInMinutes": 0 } });
    let page = lab.send(json!({ "widgetContext": context_of })).await;
    assert!(page.as_str().unwrap().contains("28 May 2021 04:03 UTC-03:30"), "{page}");
    let answer = lab.send(json!({ "describe": true, "widgetContext": context(900, "dark") })).await;
    assert!(answer["markdown"].as_str().unwrap().contains("lambda:InvokeFunction"), "{answer}");
    assert_eq!(lab.take_calls().iter().filter(|call| *call == "StartPipelineExecution").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_page_keeps_lambdas_deadline() {
    let lab = Lab::new().with_deadline(std::time::Duration::from_secs(4));
    lab.simulator.world().inject(fault::next("ListPipelineExecutions", 99, Fault::Hang));
    let page = lab.page().await;
    record("deadline-light-900", &page);
    assert_reads(&page, &["This failed: ", "The status could not be read in time."]);
}

#[tokio::test(start_paused = true)]
async fn a_drained_router_and_a_brake_are_shown() {
    let lab = Lab::with(&[("MODE", "drain")]);
    let page = lab.recorded("drain").await;
    assert_reads(&page, &["■ MODE is drain", "MODE is drain: nothing is started."]);
    assert_eq!(event_of(&page, "Retrain now"), None);
    let lab = Lab::with(&[("CATCH_UP_PER_DAY", "1")]);
    let arn = lab.simulator.world().start_execution(None);
    tokio::time::advance(HOUR).await;
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
    lab.simulator.world().code_deployed("3f0c");
    tokio::time::advance(HOUR).await;
    let page = lab.recorded("braked").await;
    assert_reads(&page, &["! braked", "1 start in 24 hours (brake at 1)", "deployment · 3f0c"]);
    assert_reads(&lab.press("Retrain now").await, &["! Retrain: braked: ", "(until 29 May 09:33)"]);
    lab.simulator.world().operate_rule(DRIFT_RULE, false);
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_stays_disabled_is_not_all_quiet() {
    let lab = Lab::new();
    lab.send(sample_event("retrain")).await;
    let arn = lab.simulator.world().sagemaker.executions[0].arn.clone();
    assert_reads(&lab.page().await, &["Build stage ▶ disabled while a retraining runs"]);
    // The event of its end is lost.
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
    tokio::time::advance(MINUTE).await;
    let page = lab.recorded("still-disabled").await;
    assert_reads(
        &page,
        &[
            "! a guard is not as it should be",
            "! disabled by this router, and none runs",
            "Build stage is disabled, and no retraining runs. The next heartbeat sets it.",
        ],
    );
    assert_lacks(&page, &["all quiet"]);
    let dry_run = lab.with_variables(&[("MODE", "dry-run")]).page().await;
    assert_reads(&dry_run, &["A dry run sets no guard. Set MODE to drain first."]);
    let none = lab.with_variables(&[("HEARTBEAT_NAME", "")]).page().await;
    assert_reads(&none, &["Build stage is disabled, and no retraining runs. The next event sets it."]);
    // The other way round: an execution that the router has not seen yet.
    lab.press("Heartbeat now").await;
    lab.simulator.world().start_execution(None);
    assert_reads(&lab.page().await, &["! enabled, although a retraining runs"]);
    assert_reads(&lab.with_variables(&[("MODE", "dry-run")]).page().await, &["■ enabled, as MODE is not active"]);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_guard_is_not_called_wrong_while_the_executions_cannot_be_read() {
    let lab = Lab::new();
    lab.send(sample_event("retrain")).await;
    lab.simulator.world().inject(fault::next(
        "sagemaker:ListPipelineExecutions",
        99,
        Fault::Refused("AccessDeniedException"),
    ));
    let page = lab.page().await;
    assert_reads(&page, &["Build stage ■ disabled by this router Build of", "✗ something cannot be read"]);
    assert_lacks(&page, &["none runs", "no retraining runs", "a guard is not as it should be"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_and_started_by_nobody_is_not_all_quiet() {
    let lab = Lab::with(&[ALARMS, ("CATCH_UP_PER_DAY", "0")]);
    let page = lab.page().await;
    assert_reads(&page, &["! no drift alarm exists", "So no heartbeat finds drift."]);
    lab.simulator.world().change_alarm(ALARM, "ALARM");
    tokio::time::advance(HOUR).await;
    let page = lab.page().await;
    assert_reads(&page, &["! owed, but no heartbeat starts it", "■ These alarms of DRIFT_ALARM_NAMES do not exist"]);
    assert_lacks(&page, &["all quiet", "no drift alarm exists"]);
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_runs_behind_ten_newer_ones_still_runs() {
    let lab = Lab::new();
    lab.simulator.world().start_execution(Some("long"));
    for _ in 0..11 {
        tokio::time::advance(MINUTE).await;
        let arn = lab.simulator.world().start_execution(None);
        lab.simulator.world().set_execution_status(&arn, "Succeeded");
    }
    let page = lab.page().await;
    assert_reads(&page, &["▶ a retraining runs"]);
    assert_eq!(event_of(&page, "Retrain now"), None);
}

#[tokio::test(start_paused = true)]
async fn what_to_do_after_a_failure_fits_the_mode_and_the_brake() {
    let lab = Lab::with(&[("CATCH_UP_PER_DAY", "1")]);
    let arn = lab.simulator.world().start_execution(None);
    lab.simulator.world().set_execution_status(&arn, "Failed");
    lab.simulator.world().code_deployed("3f0c");
    tokio::time::advance(HOUR).await;
    assert_reads(&lab.page().await, &["The brake refuses requests now, but not those with force."]);
    for (mode, advice) in
        [("drain", "MODE is drain, so the router starts"), ("dry-run", "MODE is dry-run, so the router starts")]
    {
        assert_reads(&lab.with_variables(&[("MODE", mode)]).page().await, &[advice]);
    }
}

#[tokio::test(start_paused = true)]
async fn names_with_spaces_and_long_names_are_shown_whole_and_once() {
    const LONG: &str = "sagemaker-customer-churn-staging-threshold";
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &format!("Model drift prod,{LONG}"))]);
    let event = lab.simulator.world().change_alarm(LONG, "ALARM").unwrap();
    lab.simulator.world().change_alarm("Model drift prod", "ALARM");
    lab.send(event).await;
    tokio::time::advance(HOUR).await;
    let page = lab.page().await;
    assert_reads(
        &page,
        &["drift · Model drift prod", "runs for drift sagemaker-customer-churn-staging-threshold since"],
    );
    assert_eq!(page.matches("class=\"mark drift\"").count(), 3, "one for each alarm, and one in the legend");
}
