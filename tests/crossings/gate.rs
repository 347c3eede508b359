//! An invocation whose calls the test releases one by one.

use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use drift_router::{Config, Router, timeouts};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use simulator::client::{read, respond};
use simulator::fault::Symptom;
use simulator::nyctaxi::SAGEMAKER_PIPELINE;
use simulator::protocol::Request;
use simulator::sagemaker::Execution;
use simulator::{Project, Simulator, sets_guard};
use tokio::sync::oneshot;

use crate::marks::TAG;

/// The answer of an invocation: the outcome, or the error.
pub type Answer = Result<Value, String>;

/// Which call is made first if several wait at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}

/// A deliberate defect of the router, put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Racing triggers send different tokens.
    TokenOfTheEvent,
    /// A rule is disabled first and tagged after.
    TagsAfterDisabling,
    /// An invocation does not record the rules that it writes to. If another one removes its tag, the rule looks held.
    ForgetsItsOwnWrites,
    /// An invocation lists the executions only once.
    DoesNotLookAgain,
}

/// The wire of one invocation. Every call waits until the test releases it.
#[derive(Clone)]
pub struct Gate {
    name: &'static str,
    simulator: Simulator,
    order: Order,
    defect: Option<Defect>,
    waiting: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
    /// A value that a defect keeps for later.
    kept: Arc<Mutex<Option<Value>>>,
    /// The rules that were written to.
    written: Arc<Mutex<BTreeSet<String>>>,
    trace: Trace,
}

/// The calls of all invocations, in the order in which they were applied.
pub type Trace = Arc<Mutex<Vec<String>>>;

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Gate {
    async fn pass(&self) {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().push_back(sender);
        receiver.await.expect("a gate is not dropped while its invocation runs");
    }

    /// Whether a call waits. A call that its invocation has dropped does not wait.
    fn has_waiting(&self) -> bool {
        let mut waiting = self.waiting.lock().unwrap();
        waiting.retain(|call| !call.is_closed());
        !waiting.is_empty()
    }

    fn let_one_through(&self) {
        let mut waiting = self.waiting.lock().unwrap();
        let call = match self.order {
            Order::OldestFirst => waiting.pop_front(),
            Order::NewestFirst => waiting.pop_back(),
        };
        call.expect("a call waits").send(()).expect("the invocation waits for its call");
    }

    async fn exchange(&self, request: &Request) -> Result<Value, Symptom> {
        match self.defect {
            None => {
                self.pass().await;
                self.apply(&request.target, &request.authorization, &request.body).await
            }
            Some(defect) => self.sabotage(defect, request).await,
        }
    }

    async fn apply(&self, target: &str, authorization: &str, body: &[u8]) -> Result<Value, Symptom> {
        let answer = self.simulator.exchange(target, authorization, body).await;
        let world = self.simulator.world();
        let call = world.calls.last().unwrap();
        let result = call.result.as_ref().map_or_else(String::as_str, |_| "ok");
        let resource = call.resource.rsplit(['/', ':']).next().unwrap_or_default();
        self.trace.lock().unwrap().push(format!("{} {} {resource} {result}", self.name, call.operation));
        answer
    }

    /// Makes the exchange as a router with the defect would.
    async fn sabotage(&self, defect: Defect, request: &Request) -> Result<Value, Symptom> {
        let mut input: Value = serde_json::from_slice(&request.body).unwrap();
        let operation = request.target.split('.').next_back().unwrap();
        match (defect, operation) {
            (Defect::TokenOfTheEvent, "StartPipelineExecution") => {
                let name = input["PipelineExecutionDisplayName"].as_str().unwrap();
                input["ClientRequestToken"] = format!("{name:_<40}").into();
            }
            (Defect::TagsAfterDisabling, "TagResource") => {
                *self.kept.lock().unwrap() = Some(input);
                return Ok(json!({}));
            }
            _ => {}
        }
        self.pass().await;
        let is_list = request.target == "SageMaker.ListPipelineExecutions";
        let answer = self.apply(&request.target, &request.authorization, input.to_string().as_bytes()).await;
        let rule = input["Name"].as_str().or(input["ResourceARN"].as_str());
        let rule = rule.and_then(|name| name.rsplit('/').next()).unwrap_or_default();
        if sets_guard(operation) {
            self.written.lock().unwrap().insert(rule.to_owned());
        }
        match (defect, operation) {
            (Defect::ForgetsItsOwnWrites, "DescribeRule" | "ListTagsForResource") if self.looks_held(rule) => {
                Ok(self.as_if_set(operation, answer?))
            }
            (Defect::TagsAfterDisabling, "DisableRule") => {
                let tag = self.kept.lock().unwrap().take();
                if let Some(tag) = tag {
                    self.pass().await;
                    let target = request.target.replace("DisableRule", "TagResource");
                    self.apply(&target, &request.authorization, tag.to_string().as_bytes()).await?;
                }
                answer
            }
            (Defect::DoesNotLookAgain, _) if is_list => {
                answer.map(|answer| self.kept.lock().unwrap().get_or_insert(answer).clone())
            }
            _ => answer,
        }
    }
}

impl Gate {
    /// Whether this invocation wrote to the rule, and it is disabled without the tag.
    fn looks_held(&self, rule: &str) -> bool {
        let world = self.simulator.world();
        let found = world.eventbridge.rule(rule).unwrap();
        self.written.lock().unwrap().contains(rule) && !found.is_enabled() && !found.tags.contains_key(TAG)
    }

    /// The answer as it would be if the router's own writes were in effect.
    fn as_if_set(&self, operation: &str, mut answer: Value) -> Value {
        let is_active = self.simulator.world().sagemaker.executions.iter().any(Execution::is_active);
        match operation {
            "DescribeRule" => answer["State"] = if is_active { "DISABLED" } else { "ENABLED" }.into(),
            _ if is_active => {
                answer["Tags"] = json!([{ "Key": TAG, "Value": format!("{SAGEMAKER_PIPELINE}/another") }])
            }
            _ => {}
        }
        answer
    }
}

impl HttpConnector for Gate {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let gate = self.clone();
        HttpConnectorFuture::new(async move {
            let request = read(&request);
            let answer = gate.exchange(&request).await;
            respond(&request, answer)
        })
    }
}

/// How an invocation is run.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub order: Order,
    pub defect: Option<Defect>,
    pub variables: &'static [(&'static str, &'static str)],
}

/// One invocation, with its own function instance.
pub struct Invocation {
    run: Pin<Box<dyn Future<Output = Answer>>>,
    gate: Gate,
    answer: Option<Answer>,
}

impl Invocation {
    pub fn new(name: &'static str, event: &Value, simulator: &Simulator, terms: Terms, trace: &Trace) -> Self {
        let gate = Gate {
            name,
            simulator: simulator.clone(),
            order: terms.order,
            defect: terms.defect,
            waiting: Arc::default(),
            kept: Arc::default(),
            written: Arc::default(),
            trace: trace.clone(),
        };
        let project = Project::nyctaxi();
        let config = Config::from_lookup(project.lookup(terms.variables)).unwrap().0;
        let connector = SharedHttpConnector::new(gate.clone());
        let http_client = http_client_fn(move |_, _| connector.clone());
        let aws = simulator.sdk_config().timeout_config(timeouts()).http_client(http_client).build();
        let router = Router::new(config, &aws, io::sink());
        let mut context = Context::default();
        context.invoked_function_arn = project.function_arn();
        let event = LambdaEvent::new(event.clone(), context);
        let run = async move {
            match router.handle(event).await {
                Ok(outcome) => Ok(serde_json::to_value(outcome).unwrap()),
                Err(error) => Err(error.error_message),
            }
        };
        Self { run: Box::pin(run), gate, answer: None }
    }

    /// Whether it has answered.
    pub fn has_ended(&self) -> bool {
        self.answer.is_some()
    }

    /// Makes at most `most` calls, and runs on until the next one waits or the invocation ends. Returns how many calls it made.
    pub async fn make_calls(&mut self, most: usize) -> usize {
        for made in 0..=most {
            self.run_to_next_call().await;
            if self.has_ended() || made == most {
                return made;
            }
            self.gate.let_one_through();
        }
        most
    }

    async fn run_to_next_call(&mut self) {
        if self.has_ended() {
            return;
        }
        self.answer = poll_fn(|context| match self.run.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if self.gate.has_waiting() => Poll::Ready(None),
            // The invocation pauses.
            Poll::Pending => Poll::Pending,
        })
        .await;
    }

    /// Runs to the end.
    pub async fn finish(mut self) -> Answer {
        self.make_calls(usize::MAX).await;
        self.answer.expect("it has ended")
    }
}
