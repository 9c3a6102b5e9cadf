//! One Open call and what is said on it.

use coppice_guest_agent::gen::process_input::Input;
use coppice_guest_agent::gen::process_output::Output;
use coppice_guest_agent::gen::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Client;

pub struct Session {
    input: mpsc::Sender<ProcessInput>,
    output: Streaming<ProcessOutput>,
}

impl Session {
    pub async fn open(client: &mut Client, first: Input) -> Session {
        let (input, receiver) = mpsc::channel(8);
        input
            .send(ProcessInput { input: Some(first) })
            .await
            .unwrap();
        let output = client
            .process
            .open(ReceiverStream::new(receiver))
            .await
            .unwrap()
            .into_inner();
        Session { input, output }
    }

    pub async fn send(&self, input: Input) {
        self.input
            .send(ProcessInput { input: Some(input) })
            .await
            .unwrap();
    }

    pub async fn next(&mut self) -> Option<Output> {
        self.output
            .message()
            .await
            .unwrap()
            .map(|message| message.output.unwrap())
    }

    pub async fn started(&mut self) -> Started {
        match self.next().await {
            Some(Output::Started(started)) => started,
            other => panic!("{other:?}"),
        }
    }

    /// Reads stdout until it contains `text`.
    pub async fn until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            match self.next().await {
                Some(Output::Stdout(chunk)) => seen += &String::from_utf8_lossy(&chunk.data),
                other => panic!("{other:?} after {seen:?}"),
            }
        }
        seen
    }

    pub async fn exited(&mut self) -> Exited {
        loop {
            match self.next().await.expect("no end") {
                Output::Exited(exited) => return exited,
                _ => continue,
            }
        }
    }
}
