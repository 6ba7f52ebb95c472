//! A driver: one vendor's program, for one session. It speaks the vendor's protocol and decides nothing: what is done in which
//! order, what is kept, and what becomes an event is the runner's.
//!
//! To add one: write `src/drivers/foo.rs`, and an adapter for what it hands on as [`Signal::Line`].

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use turnwire_proto::{Json, Name, Object, command::Action};

/// What begins a turn.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The turn's id.
    pub turn: Name,
    /// What is said.
    pub text: String,
}

/// An order other than a message.
#[derive(Clone, Debug)]
pub enum Tell {
    /// Stop what is being done now; the session goes on.
    Interrupt,
    /// Use this model from the next turn on.
    Model(Name),
    /// Ask before these things, in the vendor's word.
    PermissionMode(Name),
    /// Make the context shorter. Told between turns only; once it is taken, its end is [`Signal::TurnOver`], as a turn's is.
    Compact(Option<String>),
    /// End a task that runs beside the turn.
    StopTask(Name),
    /// What only this vendor knows.
    Custom(Name, Option<Object>),
}

/// What the program waits for a person to decide. The adapter makes the `approval_request` of the same line, with the same id.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The `approval_id` of the event.
    pub id: Name,
    /// The tool that wants to run.
    pub tool: String,
}

/// What was decided.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The tool may run, with these arguments instead where there are some.
    Approved {
        /// Instead of those it asked for.
        arguments: Option<Json>,
    },
    /// It may not, and what the agent is told.
    Denied {
        /// Why.
        message: String,
    },
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// It was told to stop.
    Interrupted,
    /// The context does not fit the model any more.
    PromptTooLong,
    /// The vendor takes nothing for now; for how long, where it says that.
    RateLimited(Option<Duration>),
    /// Nobody is signed in, or the login has expired.
    NeedsLogin,
    /// Otherwise, and how.
    Failed(String),
}

/// What a program says.
#[derive(Clone, Debug)]
pub enum Signal {
    /// A line for the driver's adapter, without its line break.
    Line(Bytes),
    /// A line of standard error.
    Stderr(Bytes),
    /// It waits for a decision.
    Asks(Ask),
    /// It does not wait any more: somebody answered elsewhere, or the turn is over.
    AskGone(Name),
    /// What resumes this conversation in another process.
    Conversation(String),
    /// The model that it uses.
    Model(Name),
    /// It makes its context shorter (true), or has done so (false).
    Compacting(bool),
    /// The turn is over. Comes behind the lines that it is told by.
    TurnOver(Outcome),
    /// The process has ended, told or not: its exit code, 128 + n after signal n. A turn that is open ends with it, as its adapter
    /// says it did.
    Exited(Option<i32>),
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// This vendor has no such thing. What it offers instead, where there is something.
    #[error("{0}")]
    Unsupported(String),
    /// The program could not be started, or is gone.
    #[error("{0}")]
    Gone(String),
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// What every driver can be told: the runner sees to most of it.
pub const EVERY: [Action; 6] = [
    Action::Message,
    Action::Cancel,
    Action::Interrupt,
    Action::Hold,
    Action::Release,
    Action::NewSession,
];

/// See the module.
#[async_trait]
pub trait Driver: Send {
    /// The adapter that reads its lines, by its name in `turnwire_adapters::ADAPTERS`.
    fn adapter(&self) -> &'static str;

    /// What it can be told, beside what [`EVERY`] driver can.
    fn can_also(&self) -> &'static [Action];

    /// What it can be told, as `capabilities` of the agent's report.
    fn capabilities(&self) -> Vec<Action> {
        [&EVERY, self.can_also()].concat()
    }

    /// Begins a turn: starts the program if it does not run, and says the prompt. One turn at a time.
    ///
    /// # Errors
    /// It cannot be started or does not take it. There is no turn then.
    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), Failure>;

    /// The next thing that the program says. Waits for ever while no program runs. Cancel-safe.
    async fn next(&mut self) -> Signal;

    /// Tells it something else. What comes back is for the command's `result`. While no program runs a driver keeps what it was
    /// told for the next one (a model, a permission mode), and has nothing to interrupt; it starts one for [`Tell::Compact`].
    ///
    /// # Errors
    /// It cannot do that, or did not.
    async fn tell(&mut self, what: Tell) -> Result<Option<Object>, Failure>;

    /// Answers what it asked.
    ///
    /// # Errors
    /// The program is gone. An id that nobody waits on any more is no error.
    async fn answer(&mut self, id: &Name, verdict: &Verdict) -> Result<(), Failure>;

    /// Ends the program and all that it has started: its whole process group. Returns when they are gone. The next
    /// [`Driver::prompt`] starts it again, in the same conversation. No [`Signal::Exited`] comes of it.
    async fn end(&mut self);
}
