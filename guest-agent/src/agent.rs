//! What the services share: the identity of the machine and everything that outlives a conversation.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::channel::{Answer, Hello, PROTOCOL_GENERATION};
use crate::network::Listeners;
use crate::process::{Processes, Scope};
use crate::system::{boot_id, Freezer, Power};

/// How long after the last large transfer its memory goes back to the system.
const TRIM_DELAY: Duration = Duration::from_secs(2);

pub struct Agent {
    /// The VM generation given by the kernel command line, later by Configure.
    generation: Cell<u64>,
    /// The one the host expects, from the last hello.
    expected: Cell<u64>,
    boot_id: [u8; 16],
    /// Which machine this is, as far as Configure has said.
    machine_id: RefCell<Option<String>>,
    trimming: Cell<bool>,
    pub processes: Rc<Processes>,
    pub freezer: Freezer,
    pub power: Power,
    pub listeners: Listeners,
}

impl Agent {
    pub fn new(generation: u64, power: Power, cgroups: Option<&Path>, scope: Scope) -> Rc<Agent> {
        Rc::new(Agent {
            generation: Cell::new(generation),
            expected: Cell::new(generation),
            boot_id: boot_id(),
            machine_id: RefCell::default(),
            trimming: Cell::new(false),
            processes: Processes::new(cgroups, scope),
            freezer: Freezer::default(),
            power,
            listeners: Listeners::default(),
        })
    }

    pub fn answer(&self, hello: &Hello) -> Answer {
        Answer {
            nonce: hello.nonce,
            protocol: PROTOCOL_GENERATION,
            generation: self.generation.get(),
            boot_id: self.boot_id,
        }
    }

    pub fn begin_conversation(&self, expected: u64) {
        self.expected.set(expected);
    }

    pub fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// By Configure: what was set for one machine's processes is no other's.
    pub fn set_machine_id(&self, id: &str) {
        let earlier = self.machine_id.replace(Some(id.to_string()));
        if earlier.as_deref() != Some(id) {
            self.processes.env.borrow_mut().clear();
        }
    }

    /// By Configure: the host has told the machine all there is to tell. One that had a generation begins a new
    /// life with another; one that was nobody's, as a template is, begins its first.
    pub fn set_generation(&self, generation: u64) {
        let earlier = self.generation.get();
        if earlier == 0 && generation != 0 {
            self.processes.begin();
        } else if earlier != generation {
            self.processes.renumber(generation);
        }
        self.generation.set(generation);
        self.expected.set(generation);
    }

    /// False after a restore or fork until Configure has renewed the machine's identity: until then
    /// only SystemService may be called.
    pub fn is_current(&self) -> bool {
        self.generation.get() == self.expected.get()
    }

    pub fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    /// Gives freed memory back once things are quiet.
    pub fn trim_soon(self: &Rc<Self>) {
        if self.trimming.replace(true) {
            return;
        }
        let agent = self.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(TRIM_DELAY).await;
            agent.trimming.set(false);
            // SAFETY: only touches the allocator's free memory.
            unsafe { libc::malloc_trim(0) };
        });
    }
}
