//! All processes, by id.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::cgroup::CgroupRoot;
use super::env::Vars;
use super::handle::Process;
use super::hangup::HangUp;
use super::hold::Hold;
use super::log::{Budget, Log};
use super::output_file::OutputFile;
use super::spawn::{spawn, Supplies};
use super::spec::Launch;
use super::stdin::Stdin;
use super::supervise::{supervise, Output};
use super::tree::Tree;
use super::workload::Workload;
use crate::grpc::{Code, Status};

const RUNNING: usize = 1024;
const FINISHED: usize = 1000;
const FINISHED_AGE: Duration = Duration::from_secs(3600);
/// What is left of the two ends of an old job's output when memory runs short.
const KEPT_OF_OLD: usize = 4 << 10;
/// All kept output; less on small machines.
const LOG_BYTES: usize = 128 << 20;

/// First id of a generation: this many times the generation, and one more.
const IDS_PER_GENERATION: u64 = 100_000;

/// What of the machine is held by Hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What the agent has started.
    Own,
    /// Everything but the agent.
    Machine,
}

pub struct Processes {
    all: RefCell<BTreeMap<u64, Entry>>,
    running: Cell<usize>,
    next: Cell<u64>,
    /// Counts cgroups: ids can come again, and a cgroup may still be there then.
    groups: Cell<u64>,
    budget: Rc<Budget>,
    cgroups: Option<CgroupRoot>,
    supplies: Option<Supplies>,
    pub env: RefCell<Vars>,
    pub hold: Rc<Hold>,
}

struct Entry {
    process: Rc<Process>,
    supervisor: AbortHandle,
    finished: Option<Instant>,
}

impl Processes {
    pub fn new(cgroups: Option<&Path>, scope: Scope) -> Rc<Processes> {
        let memory = crate::system::memory_bytes() as usize;
        let cgroups = cgroups.and_then(CgroupRoot::open);
        let workload = cgroups
            .as_ref()
            .map(|root| Workload::new(root.path(), scope == Scope::Machine));
        Rc::new(Processes {
            all: RefCell::default(),
            running: Cell::new(0),
            next: Cell::new(1),
            groups: Cell::new(0),
            budget: Budget::new(LOG_BYTES.min(memory / 8)),
            cgroups,
            supplies: Supplies::open().ok(),
            env: RefCell::default(),
            hold: Rc::new(Hold::new(workload)),
        })
    }

    /// Starts a process and its supervisor, once the workload is not held. With `owned` the caller reads all
    /// output and the process waits for it.
    pub async fn start(
        self: &Rc<Self>,
        launch: Launch,
        owned: bool,
    ) -> Result<Rc<Process>, Status> {
        // Whoever gives up meanwhile, as every client of a machine's earlier life does, starts nothing.
        self.hold.released().await;
        let files = match &launch.output_file {
            Some(path) => {
                let files = OutputFile::open_both(path, &launch.account).await?;
                // A hold may have begun meanwhile.
                self.hold.released().await;
                files
            }
            None => Default::default(),
        };
        self.start_now(launch, files, owned)
    }

    fn start_now(
        self: &Rc<Self>,
        launch: Launch,
        files: [OutputFile; 2],
        owned: bool,
    ) -> Result<Rc<Process>, Status> {
        self.forget_old();
        self.relieve();
        if self.running.get() >= RUNNING {
            let text = format!("{RUNNING} processes are running already");
            return Err(Status::new(Code::ResourceExhausted, text).with("not_started"));
        }
        let id = self.next.get();
        self.groups.set(self.groups.get() + 1);
        let cgroup = match self
            .cgroups
            .as_ref()
            .map(|root| root.create(self.groups.get()))
            .transpose()
        {
            Ok(cgroup) => cgroup,
            Err(error) => {
                let status = Status::from_io("making a cgroup", &error);
                return Err(Status {
                    code: Code::ResourceExhausted,
                    ..status
                }
                .with("not_started"));
            }
        };
        let supplies = self
            .supplies
            .as_ref()
            .ok_or_else(|| Status::internal("there was no /dev or /proc when the agent began"))?;
        let started = Instant::now();
        let spawned = match spawn(&launch, cgroup.as_ref(), supplies) {
            Ok(spawned) => spawned,
            Err(status) => {
                if let Some(cgroup) = cgroup {
                    cgroup.remove();
                }
                return Err(status);
            }
        };
        self.next.set(id + 1);
        let tree = Tree::new(spawned.pid, spawned.pidfd, cgroup);
        let broken = |error| {
            tree.kill();
            Status::from_io("watching a process", &error)
        };
        let terminal = launch
            .terminal
            .as_ref()
            .map(|_| spawned.outputs[0].try_clone());
        let terminal = terminal.transpose().map_err(broken)?;
        let stdin = spawned.stdin.map(|fd| Stdin::new(fd, terminal.is_some()));
        let stdin = stdin.transpose().map_err(broken)?;
        let log = || RefCell::new(Log::new(launch.keep_bytes, self.budget.clone()));
        let process = Rc::new(Process {
            id: Cell::new(id),
            inherited_from: Cell::new(0),
            tree,
            title: launch.title(),
            label: launch.label,
            has_terminal: terminal.is_some(),
            terminal: RefCell::new(terminal),
            keep: launch.keep,
            session: launch.session,
            hang_up: HangUp::default(),
            started_unix_ms: unix_ms(),
            started,
            stdin,
            logs: [log(), log()],
            output_file: launch.output_file,
            output_errno: Cell::new(0),
            exited: RefCell::new(None),
            clients: Cell::new(0),
            changed: Notify::new(),
            owner: Cell::new(owned.then_some([0, 0])),
            room: Notify::new(),
        });
        let timeout = (launch.timeout_ms > 0).then(|| Duration::from_millis(launch.timeout_ms));
        let outputs = spawned.outputs.into_iter().zip(files);
        let outputs = outputs.map(|(fd, file)| Output { fd, file }).collect();
        self.watch(&process, outputs, timeout);
        Ok(process)
    }

    fn watch(
        self: &Rc<Self>,
        process: &Rc<Process>,
        outputs: Vec<Output>,
        timeout: Option<Duration>,
    ) {
        let work = supervise(self.clone(), process.clone(), outputs, timeout);
        let supervisor = tokio::task::spawn_local(work).abort_handle();
        let entry = Entry {
            process: process.clone(),
            supervisor,
            finished: None,
        };
        self.all.borrow_mut().insert(process.id.get(), entry);
        self.running.set(self.running.get() + 1);
    }

    /// Called once by the supervisor.
    pub fn ended(&self, process: &Process) {
        self.running.set(self.running.get() - 1);
        let mut all = self.all.borrow_mut();
        if !process.keep {
            all.remove(&process.id.get());
        } else if let Some(entry) = all.get_mut(&process.id.get()) {
            entry.finished = Some(Instant::now());
        }
    }

    pub fn get(&self, id: u64) -> Result<Rc<Process>, Status> {
        let all = self.all.borrow();
        all.get(&id)
            .map(|entry| entry.process.clone())
            .ok_or_else(|| {
                Status::new(Code::NotFound, format!("there is no process {id}")).with("not_found")
            })
    }

    pub fn list(&self) -> Vec<Rc<Process>> {
        self.forget_old();
        self.all
            .borrow()
            .values()
            .map(|entry| entry.process.clone())
            .collect()
    }

    pub fn remove(&self, id: u64) -> Result<(), Status> {
        if self.get(id)?.is_running() {
            let text = format!("process {id} is still running");
            return Err(Status::new(Code::FailedPrecondition, text).with("running"));
        }
        self.forget(id);
        Ok(())
    }

    /// Whether `renumber` can be done for it.
    pub fn can_number(generation: u64) -> bool {
        generation
            .checked_add(1)
            .and_then(|next| next.checked_mul(IDS_PER_GENERATION))
            .is_some()
    }

    /// Gives every process a new id, so that none of the machine's earlier life means anything any more.
    pub fn renumber(&self, generation: u64) {
        let first = generation.saturating_mul(IDS_PER_GENERATION) + 1;
        self.number_from(first.max(self.next.get()));
    }

    /// The machine had no life before this one: what ran in it is nobody's, and ids count from 1.
    pub fn begin(&self) {
        let ended: Vec<u64> = {
            let all = self.all.borrow();
            all.iter()
                .filter_map(|(id, entry)| entry.finished.map(|_| *id))
                .collect()
        };
        ended.into_iter().for_each(|id| self.forget(id));
        self.number_from(1);
    }

    fn number_from(&self, first: u64) {
        let mut next = first;
        let mut all = self.all.borrow_mut();
        for (old, entry) in std::mem::take(&mut *all) {
            entry.process.inherited_from.set(old);
            entry.process.id.set(next);
            all.insert(next, entry);
            next += 1;
        }
        self.next.set(next);
    }

    fn forget(&self, id: u64) {
        if let Some(entry) = self.all.borrow_mut().remove(&id) {
            entry.supervisor.abort();
            entry.process.tree.clean();
        }
    }

    fn forget_old(&self) {
        let finished = self.finished();
        let surplus = finished.len().saturating_sub(FINISHED);
        for (index, (at, id)) in finished.into_iter().enumerate() {
            if index < surplus || at.elapsed() > FINISHED_AGE {
                self.forget(id);
            }
        }
    }

    /// The output of jobs that ended long ago makes room for that of new ones. How they ended stays known.
    fn relieve(&self) {
        if !self.budget.is_short() {
            return;
        }
        for (_, id) in self.finished() {
            if self.budget.has_recovered() {
                return;
            }
            if let Ok(process) = self.get(id) {
                process
                    .logs
                    .iter()
                    .for_each(|log| log.borrow_mut().shrink(KEPT_OF_OLD));
            }
        }
    }

    /// Oldest first.
    fn finished(&self) -> Vec<(Instant, u64)> {
        let all = self.all.borrow();
        let mut finished: Vec<_> = all
            .iter()
            .filter_map(|(id, entry)| Some((entry.finished?, *id)))
            .collect();
        finished.sort_unstable();
        finished
    }
}

fn unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as i64)
}
