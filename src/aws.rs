//! The only code that calls AWS: one adapter for each service, and the guards as one list.

mod call;
mod clients;
mod cloudwatch;
mod codepipeline;
mod eventbridge;
mod guard;
mod preconnect;
mod sagemaker;

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};

pub(crate) use self::call::CallError;
pub use self::clients::{ClientError, sdk_config, timeouts};
pub(crate) use self::cloudwatch::{Alarms, ObservedAlarms};
pub(crate) use self::codepipeline::{Accepted, Deployments, JobResult, Jobs};
pub(crate) use self::eventbridge::RuleArns;
pub(crate) use self::guard::{Guard, ObservedGuard, read_all, schedule_rule, set_all};
pub use self::preconnect::Preconnect;
pub(crate) use self::sagemaker::Pipeline;
use crate::config::Config;
use crate::model::{DeploymentTrigger, GuardRole};
use crate::policy;

/// Everything that the function calls in AWS. Built once a process.
#[derive(Debug)]
pub(crate) struct Aws {
    pub(crate) pipeline: Pipeline,
    pub(crate) jobs: Jobs,
    /// The executions of the CodePipeline, if the event of its success starts retrainings.
    pub(crate) deployments: Option<Deployments>,
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
        let owner = policy::owner(&config.sagemaker_pipeline);
        let stage = config.code_pipeline.as_ref().map(|pipeline| {
            Guard::Stage(codepipeline::Stage {
                client: codepipeline.clone(),
                pipeline: pipeline.name.clone(),
                stage: pipeline.build_stage.clone(),
                owner: owner.clone(),
            })
        });
        let mut guards: Vec<Guard> = stage.into_iter().collect();
        for (role, variable, name) in [
            (GuardRole::ScheduleRule, "SCHEDULE_RULE_NAME", &config.schedule_rule),
            (GuardRole::DriftRule, "DRIFT_RULE_NAME", &config.drift_rule),
        ] {
            let (client, owner) = (eventbridge.clone(), owner.clone());
            guards.extend(
                name.clone().map(|name| Guard::Rule(eventbridge::Rule { client, name, role, variable, owner })),
            );
        }
        Self {
            pipeline: Pipeline { client: sagemaker, name: config.sagemaker_pipeline.clone() },
            jobs: Jobs { client: codepipeline.clone() },
            deployments: config
                .code_pipeline_name()
                .filter(|_| config.deployment_trigger == DeploymentTrigger::Event)
                .map(|pipeline| Deployments { client: codepipeline, pipeline: pipeline.to_owned() }),
            alarms: Alarms { names: config.drift_alarms.clone(), sdk: sdk.clone(), client: OnceLock::new() },
            guards,
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
