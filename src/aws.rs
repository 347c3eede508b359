//! The only code that calls AWS. Each file is for one thing:
//!
//! - `pipeline`: the executions of the SageMaker pipeline. `deployments`: the executions of the CodePipeline.
//! - `jobs`: the answers to CodePipeline's jobs. `alarms`: the drift alarms and their mutes.
//! - `stage`, `rule`: the two kinds of guard. `mark`: what is written on them. `guard`: all guards as one list.
//! - `call`: a call that failed. `clients`, `preconnect`: a quick cold start.

mod alarms;
mod call;
mod clients;
mod deployments;
mod guard;
mod jobs;
mod mark;
mod pipeline;
mod preconnect;
mod rule;
mod stage;

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};

pub(crate) use self::alarms::{Alarms, ObservedAlarms};
pub(crate) use self::call::CallError;
pub use self::clients::{ClientError, sdk_config, timeouts};
pub(crate) use self::deployments::Deployments;
pub(crate) use self::guard::{Guard, ObservedGuard, read_all, schedule_rule, set_all};
pub(crate) use self::jobs::{Accepted, JobResult, Jobs};
pub(crate) use self::mark::{TagWrite, tag_write};
pub(crate) use self::pipeline::{Description, Pipeline};
pub use self::preconnect::Preconnect;
pub(crate) use self::rule::Rule;
use self::stage::Stage;
use crate::config::Config;
use crate::model::{DeploymentTrigger, GuardRole};

/// Everything that the function calls in AWS. Built once a process.
#[derive(Debug)]
pub(crate) struct Aws {
    pub(crate) pipeline: Pipeline,
    pub(crate) jobs: Jobs,
    pub(crate) deployments: Deployments,
    pub(crate) alarms: Alarms,
    pub(crate) guards: Vec<Guard>,
    clock: SharedTimeSource,
    eventbridge: aws_sdk_eventbridge::Client,
}

impl Aws {
    /// Makes the clients from `sdk`, which holds region, credentials, timeouts and clock. CloudWatch's is made on first use.
    pub(crate) fn new(config: &Config, sdk: &SdkConfig) -> Self {
        let sagemaker = aws_sdk_sagemaker::Client::new(sdk);
        let codepipeline = aws_sdk_codepipeline::Client::new(sdk);
        let eventbridge = aws_sdk_eventbridge::Client::new(sdk);
        let owner = mark::owner(&config.sagemaker_pipeline);
        let stage = config.deployment_trigger.code_pipeline().map(|pipeline| {
            Guard::Stage(Stage {
                client: codepipeline.clone(),
                pipeline: pipeline.name.clone(),
                stage: pipeline.build_stage.clone(),
                owner: owner.clone(),
            })
        });
        let rule = |role, variable, name: &Option<String>| {
            let (client, name, owner) = (eventbridge.clone(), name.clone()?, owner.clone());
            Some(Guard::Rule(Rule { client, name, role, variable, owner }))
        };
        let rules = [
            rule(GuardRole::ScheduleRule, "SCHEDULE_RULE_NAME", &config.schedule_rule),
            rule(GuardRole::DriftRule, "DRIFT_RULE_NAME", &config.drift_rule),
        ];
        let deployments = match &config.deployment_trigger {
            DeploymentTrigger::Event { pipeline, .. } => Some(pipeline.name.clone()),
            DeploymentTrigger::Action(_) | DeploymentTrigger::None(_) => None,
        };
        Self {
            pipeline: Pipeline { client: sagemaker, name: config.sagemaker_pipeline.clone() },
            deployments: Deployments { client: codepipeline.clone(), pipeline: deployments },
            jobs: Jobs { client: codepipeline },
            alarms: Alarms { names: config.drift_alarms.clone(), sdk: sdk.clone(), client: OnceLock::new() },
            guards: stage.into_iter().chain(rules.into_iter().flatten()).collect(),
            clock: sdk.time_source().unwrap_or_else(|| SharedTimeSource::new(SystemTimeSource::new())),
            eventbridge,
        }
    }

    /// The time of the SDK's clock, which tests replace.
    pub(crate) fn now(&self) -> std::time::SystemTime {
        self.clock.now()
    }

    /// Opens a connection to each service that every event calls, and makes no call. Lambda gives the init phase a whole processor,
    /// so TLS handshakes are made there.
    pub(crate) async fn preconnect(&self, preconnect: &Preconnect) {
        let sagemaker = self.pipeline.client.list_pipeline_executions().customize().interceptor(preconnect.clone());
        let eventbridge = self.eventbridge.describe_rule().customize().interceptor(preconnect.clone());
        let codepipeline = async {
            if self.guards.iter().any(|guard| matches!(guard, Guard::Stage(_))) {
                let call = self.jobs.client.get_pipeline_state();
                let _ = call.customize().interceptor(preconnect.clone()).send().await;
            }
        };
        // Each call fails, as the interceptor stops it.
        let _ = Box::pin(async { tokio::join!(sagemaker.send(), codepipeline, eventbridge.send()) }).await;
        preconnect.opened().await;
    }
}
