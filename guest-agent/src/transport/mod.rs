//! Where conversations come from: the virtio port, or a listening socket.

mod listener;
mod port;
mod stream;
mod virtio;
mod vsock;

use std::io;
use std::rc::Rc;

use crate::agent::Agent;
use crate::channel::{Channel, Hello};
use crate::grpc;
use crate::routes;

use stream::Stream;

pub use listener::{serve_unix, serve_vsock};
pub use virtio::serve_port;

/// Answers a hello and serves until the conversation ends. What was started in it without `keep` has
/// been killed then.
async fn converse(
    channel: &mut Channel<Stream>,
    hello: Hello,
    agent: &Rc<Agent>,
) -> io::Result<()> {
    channel.answer(&agent.answer(&hello)).await?;
    agent.begin_conversation(hello.generation);
    let route = {
        let agent = agent.clone();
        move |path, call| routes::route(agent.clone(), path, call)
    };
    // However HTTP/2 ended, the next thing is to wait for a hello.
    let _ = grpc::serve(channel.conversation(), route).await;
    agent.trim_soon();
    Ok(())
}
