//! Configure: gives the machine its identity after a boot, a restore or a fork.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::rc::Rc;

use super::identity;
use super::network::Network;
use crate::agent::Agent;
use crate::blocking::blocking;
use crate::gen::{ConfigureRequest, ConfigureResponse};
use crate::grpc::{Code, Status};
use crate::process::Processes;

// From linux/random.h.
const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
const ENTROPY_BYTES: std::ops::RangeInclusive<usize> = 32..=512;

pub async fn configure(
    agent: &Rc<Agent>,
    request: ConfigureRequest,
) -> Result<ConfigureResponse, Status> {
    check(&request)?;
    let network = request.network.as_ref().map(Network::parse).transpose()?;
    let touches_machine = request.hostname.is_some()
        || request.machine_id.is_some()
        || request.realtime_ns.is_some()
        || request.entropy.is_some()
        || request.network.is_some();
    if touches_machine && !agent.power.owns_machine() {
        let text = "this agent does not own the machine it runs on";
        return Err(Status::new(Code::FailedPrecondition, text));
    }

    // First the seed: what a workload draws from now on must differ from its siblings'.
    if let Some(seed) = &request.entropy {
        add_entropy(seed).map_err(|error| Status::from_io("adding entropy", &error))?;
    }
    if let Some(time) = request.realtime_ns {
        set_clock(time).map_err(|error| Status::from_io("setting the clock", &error))?;
    }
    if let Some(name) = &request.hostname {
        identity::set_hostname(name)
            .map_err(|error| Status::from_io("setting the host name", &error))?;
    }
    if let Some(name) = &request.hostname {
        write_file(
            identity::HOSTNAME_FILE,
            format!("{name}\n"),
            "writing the host name",
        )
        .await?;
    }
    if let Some(id) = &request.machine_id {
        agent.set_machine_id(id);
        write_file(
            identity::MACHINE_ID_FILE,
            format!("{id}\n"),
            "writing the machine id",
        )
        .await?;
    }
    if let Some(network) = network {
        network.apply(agent.generation() == 0)?;
        if network.has_name_servers() {
            blocking(move || network.write_name_servers()).await?;
        }
    }
    // Last: with it the machine counts as told, and only then its workload may run.
    if let Some(generation) = request.generation {
        agent.set_generation(generation);
    }
    if request.release == Some(true) {
        agent.processes.hold.release().await?;
    }
    if request.hostname.is_some() {
        identity::mend_hosts_later();
    }
    Ok(ConfigureResponse {})
}

/// What is in memory is written here and now: a thread would cost a new copy more than the write.
async fn write_file(path: &'static str, text: String, what: &'static str) -> Result<(), Status> {
    let failed = move |error: io::Error| Status::from_io(what, &error);
    if identity::overwrite_in_memory(path, &text).map_err(failed)? {
        return Ok(());
    }
    blocking(move || identity::replace(Path::new(path), &text).map_err(failed)).await
}

/// Nothing is applied unless all of it is well-formed.
fn check(request: &ConfigureRequest) -> Result<(), Status> {
    if request
        .hostname
        .as_ref()
        .is_some_and(|name| !identity::is_hostname(name))
    {
        return Err(Status::invalid("hostname is not an RFC 1123 label"));
    }
    if request
        .machine_id
        .as_ref()
        .is_some_and(|id| !identity::is_machine_id(id))
    {
        return Err(Status::invalid(
            "machine_id is not 32 lower-case hex digits",
        ));
    }
    if request
        .entropy
        .as_ref()
        .is_some_and(|seed| !ENTROPY_BYTES.contains(&seed.len()))
    {
        return Err(Status::invalid("entropy must have 32 to 512 bytes"));
    }
    if request.realtime_ns.is_some_and(|time| time < 0) {
        return Err(Status::invalid("realtime_ns is before the epoch"));
    }
    if request
        .generation
        .is_some_and(|generation| !Processes::can_number(generation))
    {
        return Err(Status::invalid("generation is too large"));
    }
    Ok(())
}

fn set_clock(realtime_ns: i64) -> io::Result<()> {
    let time = libc::timespec {
        tv_sec: realtime_ns / 1_000_000_000,
        tv_nsec: realtime_ns % 1_000_000_000,
    };
    // SAFETY: one valid timespec.
    if unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn add_entropy(seed: &[u8]) -> io::Result<()> {
    let random = OpenOptions::new().write(true).open("/dev/urandom")?;
    // struct rand_pool_info: bits, bytes, data.
    let mut pool = Vec::with_capacity(8 + seed.len());
    pool.extend((seed.len() as i32 * 8).to_ne_bytes());
    pool.extend((seed.len() as i32).to_ne_bytes());
    pool.extend_from_slice(seed);
    // SAFETY: the struct says how long it is; the second call takes no argument.
    unsafe {
        if libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, pool.as_ptr()) < 0
            || libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG) < 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
