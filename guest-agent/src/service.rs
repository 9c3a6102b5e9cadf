//! The service process: an async runtime on one thread, and the transport.

use std::fs;
use std::future::Future;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::agent::Agent;
use crate::boot::Cmdline;
use crate::process::Scope;
use crate::system::Power;
use crate::transport;

const VSOCK_PORT: u32 = 5000;
/// Workers for file work; their stacks are only touched as far as they are used.
const WORKERS: usize = 8;
const WORKER_STACK: usize = 256 << 10;
/// Short, so that what a machine had to do before it was copied is not cleared up in every copy.
const WORKER_IDLE: Duration = Duration::from_millis(500);

/// The service of a machine. Ends only with a fault.
pub fn run(cmdline: &Cmdline, power: Power, cgroups: Option<&Path>) -> ! {
    let key = cmdline.key.unwrap_or_default();
    let outcome = block_on(async {
        let agent = Agent::new(cmdline.generation, power, cgroups, Scope::Machine);
        if cmdline.vsock {
            transport::serve_vsock(agent, key, VSOCK_PORT).await
        } else {
            transport::serve_port(agent, key).await
        }
    });
    if let Err(error) = outcome {
        eprintln!("coppice-agent: {error}");
    }
    std::process::exit(1)
}

/// A plain process that serves connections of a socket.
pub fn serve(socket: Socket, key: [u8; 32], options: ServeOptions) -> io::Result<()> {
    block_on(async {
        let power = if options.own_machine {
            Power::SystemInit
        } else {
            Power::None
        };
        // Beside other things of its host it holds only what it has started.
        let cgroups = options.cgroups.as_deref();
        let agent: Rc<Agent> = Agent::new(options.generation, power, cgroups, Scope::Own);
        match socket {
            Socket::Unix(path) => transport::serve_unix(agent, key, &path).await,
            Socket::Vsock(port) => transport::serve_vsock(agent, key, port).await,
        }
    })
}

pub enum Socket {
    Unix(std::path::PathBuf),
    Vsock(u32),
}

#[derive(Default)]
pub struct ServeOptions {
    pub generation: u64,
    pub cgroups: Option<std::path::PathBuf>,
    /// Configure and Shutdown are meant for this machine.
    pub own_machine: bool,
}

/// The kernel should find others first when memory is short.
pub fn protect() {
    let _ = fs::write("/proc/self/oom_score_adj", "-900");
}

fn block_on<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    // SAFETY: no memory is involved. One arena: threads are few and short-lived, memory is dear.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(WORKERS)
        .thread_stack_size(WORKER_STACK)
        .thread_keep_alive(WORKER_IDLE)
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}
