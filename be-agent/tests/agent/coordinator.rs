//! A coordinator that says what the test tells it to.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tabvault_common::ids::{ClusterId, Epoch, JobUuid};
use tabvault_common::task::{Task, TaskKey, TaskReport};
use tabvault_proto::v1;
use tabvault_proto::v1::agent_message::Message as Up;
use tabvault_proto::v1::agent_service_server::{AgentService, AgentServiceServer};
use tabvault_proto::v1::coordinator_message::Message as Down;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Long enough for a loaded machine, short enough for a test that hangs.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), future).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// How it answers Hello.
#[derive(Debug, Clone)]
pub struct Answer {
    pub cluster: ClusterId,
    pub epoch: Epoch,
    pub backend: u64,
}

pub struct Coordinator {
    pub address: String,
    answer: Arc<Mutex<Answer>>,
    streams: mpsc::UnboundedReceiver<Stream>,
    server: tokio::task::JoinHandle<()>,
}

/// One agent's stream.
pub struct Stream {
    pub hello: v1::Hello,
    up: Streaming<v1::AgentMessage>,
    down: mpsc::Sender<Result<v1::CoordinatorMessage, Status>>,
}

impl Coordinator {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (found, streams) = mpsc::unbounded_channel();
        let answer = Arc::new(Mutex::new(answer));
        let service = AgentServiceServer::new(Service { answer: Arc::clone(&answer), found });
        let server = tonic::transport::Server::builder().add_service(service);
        let server = tokio::spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { address, answer, streams, server }
    }

    pub fn answer_with(&self, change: impl FnOnce(&mut Answer)) {
        change(&mut self.answer.lock().unwrap());
    }

    /// The next agent that says Hello.
    pub async fn stream(&mut self) -> Stream {
        soon("an agent", self.streams.recv()).await.unwrap()
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stream {
    async fn say(&self, message: Down) {
        // An agent that has gone away hears nothing; the test notices by itself.
        let _ = self.down.send(Ok(v1::CoordinatorMessage { message: Some(message) })).await;
    }

    pub async fn task(&self, task: &Task) {
        self.say(Down::Task(task.into())).await;
    }

    pub async fn acknowledge(&self, key: TaskKey) {
        self.say(Down::Acknowledge(key.into())).await;
    }

    pub async fn end(&self, job: JobUuid, published: bool) {
        self.say(Down::JobEnded(v1::JobEnded { job: Some(job.into()), published })).await;
    }

    /// The next message; `None` when the agent has hung up.
    async fn next(&mut self) -> Option<Up> {
        soon("a message", self.up.message()).await.ok().flatten().and_then(|message| message.message)
    }

    pub async fn report(&mut self) -> TaskReport {
        loop {
            if let Up::Report(report) = self.next().await.unwrap() {
                return report.try_into().unwrap();
            }
        }
    }

    /// Sends a task, waits for its report, acknowledges it.
    pub async fn run(&mut self, task: &Task) -> TaskReport {
        self.task(task).await;
        let report = self.report().await;
        assert_eq!(report.key, task.key);
        self.acknowledge(report.key).await;
        report
    }

    pub async fn heartbeat(&mut self) -> v1::Heartbeat {
        loop {
            if let Up::Heartbeat(heartbeat) = self.next().await.unwrap() {
                return heartbeat;
            }
        }
    }

    /// Waits for a heartbeat that names exactly these jobs.
    pub async fn leftovers(&mut self, jobs: &[JobUuid]) {
        let expected: Vec<v1::Uuid> = jobs.iter().map(|job| (*job).into()).collect();
        soon("the leftovers", async { while self.heartbeat().await.leftovers != expected {} }).await;
    }

    /// Waits until the agent has hung up.
    pub async fn gone(mut self) {
        while self.next().await.is_some() {}
    }
}

struct Service {
    answer: Arc<Mutex<Answer>>,
    found: mpsc::UnboundedSender<Stream>,
}

type Answers = Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::CoordinatorMessage, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Service {
    type AttachStream = Answers;

    async fn attach(&self, request: Request<Streaming<v1::AgentMessage>>) -> Result<Response<Answers>, Status> {
        let mut up = request.into_inner();
        let first = up.message().await?.and_then(|message| message.message);
        let Some(Up::Hello(hello)) = first else { return Err(Status::invalid_argument("no hello")) };
        let answer = self.answer.lock().unwrap().clone();
        let (down, messages) = mpsc::channel(4096);
        let welcome = v1::Welcome {
            cluster: Some(answer.cluster.into()),
            epoch: answer.epoch.0,
            backend: answer.backend,
            heartbeat_interval_ms: 20,
        };
        let message = Some(Down::Welcome(welcome));
        down.send(Ok(v1::CoordinatorMessage { message })).await.unwrap();
        let _ = self.found.send(Stream { hello, up, down });
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}
