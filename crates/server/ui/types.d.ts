// What goes over the wire, for the type checker alone: the page is plain JavaScript.

declare namespace Wire {
  /** One thing that happened. `data` may hold anything: read it through the guards of `store.js`. */
  interface Event {
    seq: number;
    id: string;
    type: string;
    timestamp: string;
    source: string;
    agent?: string;
    session_id?: string;
    turn_id?: string;
    data: Record<string, unknown>;
    raw?: unknown;
  }

  interface Hello {
    epoch: string;
    first: number;
    head: number;
  }

  interface Gap {
    after: number;
    next: number;
    reason: 'trimmed' | 'deltas_trimmed' | 'other_epoch' | 'beyond_head';
  }

  interface Bye {
    reason: string;
    retry_ms?: number;
  }

  interface ErrorInside {
    code: string;
    message: string;
    retry: boolean;
    details: Record<string, unknown>;
  }

  interface Me {
    name: string;
    scopes: string[];
    expires?: string | null;
    version: string;
    epoch: string;
  }

  interface Token {
    id: string;
    name: string;
    kind: string;
    scopes: string[];
    created: string;
    last_used?: string | null;
    expires?: string | null;
    current: boolean;
  }

  /** What was used within some time. */
  interface Sums {
    input_tokens: number;
    output_tokens: number;
    cache_read_input_tokens: number;
    cache_creation_input_tokens: number;
    cost_usd: number;
    turns: number;
    tool_calls: number;
    errors: number;
  }

  interface UsageTold {
    from: string;
    to: string;
    bucket_ms: number;
    totals: Sums;
    buckets: (Sums & { at: string })[];
    rows: (Sums & { key: string; title?: string; tool_p50_ms?: number; tool_p95_ms?: number })[];
    tools: { tool: string; calls: number; failures: number; p50_ms?: number; p95_ms?: number }[];
    more: boolean;
  }

  interface Run {
    session_id: string;
    title?: string;
    agent?: string;
    model?: string;
    started?: string;
    ended?: string;
    total?: number;
    completed: number;
    passed: number;
    failed: number;
    errors: number;
    current?: string;
    input_tokens: number;
    output_tokens: number;
    cost_usd: number;
    first_seq: number;
    last_seq: number;
  }

  interface Task {
    task: string;
    number?: number;
    outcome?: string;
    score?: number;
    started?: string;
    duration_ms?: number;
    error?: string;
    graders: { grader: string; grader_type?: string; passed: boolean; score?: number; message?: string; seq: number }[];
    first_seq: number;
  }

  /** A link that shows one session. */
  interface Shared {
    token_id: string;
    url: string;
    expires: string;
  }

  interface Session {
    id: string;
    title?: string | null;
    agent?: string | null;
    source?: string | null;
    model?: string | null;
    state: string;
    started: string;
    last_activity: string;
    last_text?: string | null;
    events: number;
    turns: number;
    tool_calls: number;
    errors: number;
    usage: Usage;
    cost_usd?: number | null;
    first_seq: number;
    last_seq: number;
    /** Since when it is in its state. */
    since?: string;
    context_tokens?: number | null;
    context_window?: number | null;
    doing?: Doing | null;
    /** Events of each of the last minutes, oldest first. */
    activity?: number[];
    /** Of today, UTC. */
    usage_today?: Usage;
    cost_today_usd?: number;
  }

  /** The open call that began last. */
  interface Doing {
    tool: string;
    target?: string | null;
    since: string;
  }

  interface Report {
    version?: string | null;
    capabilities: string[];
    model?: string | null;
    state?: string | null;
    login?: string | null;
    sessions: { id: string; state?: string; model?: string }[];
  }

  interface Agent extends Report {
    name: string;
    online: boolean;
    since?: string | null;
    last_seen?: string | null;
    queue: { queued: number; delivered: number; acked: number; limit: number };
  }

  interface Command {
    seq: number;
    id: string;
    agent: string;
    session_id?: string;
    action: string;
    args: Record<string, unknown>;
    actor: string;
    issued: string;
    expires: string;
    state: string;
    updated: string;
    reason?: string;
    result?: Record<string, unknown>;
    by?: string;
  }

  interface Approval {
    seq: number;
    id: string;
    session_id: string;
    agent?: string;
    turn_id?: string;
    tool: string;
    tool_call_id?: string;
    arguments?: unknown;
    arguments_bytes?: number;
    title?: string;
    requested: string;
    expires_at?: string;
    state: string;
    decided?: string;
    by?: string;
    message?: string;
    updated_arguments?: unknown;
    always?: boolean;
  }

  interface Decision {
    decision: 'approve' | 'deny';
    message?: string;
    arguments?: Record<string, unknown>;
    always?: boolean;
  }

  /** What became of one of several that were decided at once. */
  interface Decided {
    id: string;
    approval?: Approval;
    error?: ErrorInside;
  }

  interface State {
    seq: number;
    epoch: string;
    sessions: Session[];
    approvals?: Approval[];
    more: Record<string, boolean>;
  }

  interface SessionPage {
    sessions: Session[];
    next?: string | number | null;
    head: number;
  }

  /** What the lists of turns and of tool calls say of each. What is not known is absent. */
  interface SpanRow {
    turn_id?: string;
    session_id: string;
    agent?: string;
    started?: string;
    ended?: string;
    duration_ms?: number;
    first_seq: number;
    last_seq: number;
    start_seq?: number;
    end_seq?: number;
    sources?: string[];
  }

  interface TurnRow extends SpanRow {
    turn_ids?: string[];
    from?: string;
    prompt?: string;
    result?: string;
    ok?: boolean;
    note?: string;
    usage?: Usage;
    cost_usd?: number;
  }

  interface CallRow extends SpanRow {
    tool_call_id?: string;
    tool: string;
    parent_tool_call_id?: string;
    outcome: string;
    arguments?: unknown;
    output?: unknown;
    error?: string;
  }

  interface TurnPage {
    turns: TurnRow[];
    next?: number | null;
    head: number;
  }

  interface CallPage {
    tool_calls: CallRow[];
    next?: number | null;
    head: number;
  }

  interface HistoryPage {
    events: Event[];
    next?: number | null;
    prev?: number | null;
    first: number;
    head: number;
    epoch: string;
  }

  /** A body as it comes: its fields may be missing, or be anything. */
  type Loose<T> = { [K in keyof T]?: unknown };

  // From here on written from crates/proto/src/{kind,body}.rs by `UPDATE=1 node --test test/types.test.js`.

  /** The body of each kind. */
  interface Bodies {
    session_start: SessionStart;
    session_end: SessionEnd;
    session_renamed: SessionRenamed;
    turn_start: TurnStart;
    turn_end: TurnEnd;
    turn_state_changed: TurnState;
    message: Message;
    text_delta: TextDelta;
    reasoning: TextDelta;
    reasoning_delta: TextDelta;
    tool_call_start: ToolCallStart;
    tool_progress: ToolProgress;
    tool_call: ToolCall;
    llm_request: LlmRequest;
    usage: Usage;
    memory: Memory;
    model_changed: ModelChanged;
    status_changed: StatusChanged;
    note: Note;
    error: ErrorBody;
    agent_start: AgentStart;
    agent_end: AgentEnd;
    agent_online: Empty;
    agent_offline: Empty;
    agent_state: AgentState;
    approval_request: ApprovalRequest;
    approval_decision: ApprovalDecision;
    command: CommandBody;
    command_state: CommandState;
    task_start: TaskStart;
    task_complete: TaskComplete;
    grader_result: GraderResult;
    run_complete: RunComplete;
    history_trimmed: HistoryTrimmed;
    raw: Empty;
  }

  /** Of kinds whose name says all. */
  interface Empty {}

  /** Of `note`. */
  interface Note {
    /** What it says. */
    text: string;
  }

  /** Of `model_changed`. */
  interface ModelChanged {
    /** The vendor's name of the model. */
    model: string;
  }

  /** Of `session_start`. What a vendor says of its surroundings (tools, servers, version) stays beside these fields. */
  interface SessionStart {
    /** The vendor's name of the model. */
    model?: string;
    /** The working directory. */
    cwd?: string;
    /** The agent program's version. */
    version?: string;
    /** The agent program's permission mode. */
    permission_mode?: string;
    /** What it may call. */
    tools?: string[];
    /** The vendor's own id of the conversation: what resumes it. */
    vendor_session_id?: string;
  }

  /** Of `session_end`. */
  interface SessionEnd {
    /** The process's exit code. */
    exit_code?: number;
    /** Why, in the vendor's word or ours (`killed`, `exit`). */
    reason?: string;
  }

  /** Of `session_renamed`. */
  interface SessionRenamed {
    /** Its title from here on. */
    title: string;
    /** Who gave it. */
    by?: string;
  }

  /** Of `turn_start`. */
  interface TurnStart {
    /** Who asks: `user`, or an agent's name. */
    from: string;
    /** The prompt. */
    body: string;
    /** Messages still waiting. */
    unread: number;
  }

  /** Of `turn_end`. */
  interface TurnEnd {
    /** Whether it ended as it should. */
    ok: boolean;
    /** Why not, or what is to be said beside. */
    note?: string;
    /** How long. */
    duration_ms?: number;
    /** Tokens of the whole turn. */
    usage?: Usage;
    /** What it cost. */
    cost_usd?: number;
    /** Requests to the model. */
    num_turns?: number;
    /** What was refused, as the vendor lists it. */
    permission_denials?: unknown;
  }

  /** Of `turn_state_changed`. */
  interface TurnState {
    /** `idle`, `thinking`, `compacting`, `needs_approval`, `needs_answer`, `rate_limited`, `stalled`. */
    state: string;
    /** Since when, RFC 3339. */
    since?: string;
    /** Why, such as a retry's number and delay. */
    note?: string;
  }

  /** Of `message`. */
  interface Message {
    /** `user`, `assistant`, `system`. */
    role: string;
    /** The text. */
    content: string;
    /** The vendor's id of it: the deltas before it have the same. */
    message_id?: string;
    /** The model that said it. */
    model?: string;
    /** The call of the subagent that said it. */
    parent_tool_call_id?: string;
    /** It is all that was said in its turn, put together. */
    whole_turn?: boolean;
  }

  /** Of `text_delta`, `reasoning_delta` and `reasoning`. */
  interface TextDelta {
    /** The piece, or for `reasoning` the whole. */
    content: string;
    /** The message it is a piece of. */
    message_id?: string;
    /** The call of the subagent that said it. */
    parent_tool_call_id?: string;
  }

  /** Of `tool_call_start`. */
  interface ToolCallStart {
    /** The tool's name. */
    tool: string;
    /** The vendor's id of the call. */
    tool_call_id: string;
    /** What it was called with. */
    arguments?: unknown;
    /** The call of the subagent that called it. */
    parent_tool_call_id?: string;
  }

  /** Of `tool_progress`. */
  interface ToolProgress {
    /** The call. */
    tool_call_id: string;
    /** The tool's name. */
    tool?: string;
    /** A piece of output, or what it is doing. */
    content?: string;
    /** A piece of the arguments' JSON text, while the model still writes them: before the call's start. */
    arguments_delta?: string;
    /** How long so far. */
    elapsed_ms?: number;
  }

  /** Of `tool_call`. */
  interface ToolCall {
    /** The tool's name. */
    tool: string;
    /** The vendor's id of the call. */
    tool_call_id: string;
    /** Whether it did what it was called for. */
    success: boolean;
    /** From start to end; absent when the start was not seen. */
    duration_ms?: number;
    /** What it answered: a string, or what the vendor's structure is. */
    output?: unknown;
    /** Why it failed: the vendor's word (`denied`, `exit 1`, …). */
    error?: string;
    /** The call of the subagent that called it. */
    parent_tool_call_id?: string;
  }

  /** Of `llm_request`. */
  interface LlmRequest {
    /** The vendor's name of the model. */
    model?: string;
    /** Who serves it. */
    model_provider?: string;
    /** Messages sent. */
    messages_count?: number;
    /** Until the answer was whole. */
    duration_ms?: number;
  }

  /** Of `usage`. */
  interface Usage {
    /** Tokens sent, without those from a cache. */
    input_tokens?: number;
    /** Tokens made. */
    output_tokens?: number;
    /** Tokens read from a cache. */
    cache_read_input_tokens?: number;
    /** Tokens written to a cache. */
    cache_creation_input_tokens?: number;
    /** Tokens of reasoning, where the vendor counts them apart. */
    reasoning_tokens?: number;
    /** The vendor's name of the model. */
    model?: string;
    /** What they cost. */
    cost_usd?: number;
    /** Tokens in the model's context now, where the source says it. No sum. */
    context_tokens?: number;
    /** Tokens that the model's context takes. */
    context_window?: number;
  }

  /** Of `memory`. */
  interface Memory {
    /** `recall`, `store`. */
    action: string;
    /** What was looked for. */
    query?: string;
    /** How many were found. */
    count?: number;
    /** Where. */
    source?: string;
  }

  /** Of `status_changed`. */
  interface StatusChanged {
    /** `online`, `offline`, `rate_limited`, `needs_login_idle`, `needs_login_in_progress`. */
    status: string;
    /** More about it. */
    note?: string;
  }

  /** Of `error`. */
  interface ErrorBody {
    /** What failed. */
    component: string;
    /** How. */
    message: string;
    /** Whether it will be tried again. */
    retry?: boolean;
  }

  /** Of `agent_start`. */
  interface AgentStart {
    /** The vendor's name of the model. */
    model?: string;
    /** Who serves it. */
    model_provider?: string;
  }

  /** Of `agent_end`. */
  interface AgentEnd {
    /** The vendor's name of the model. */
    model?: string;
    /** Who served it. */
    model_provider?: string;
    /** How long it ran. */
    duration_ms?: number;
    /** Tokens in all. */
    usage?: Usage;
    /** What it cost. */
    cost_usd?: number;
  }

  /** Of `agent_state`: all of it, not what has changed. Its sessions are not here: they are not for every reader. */
  interface AgentState {
    /** What it can be told. */
    capabilities: string[];
    /** The agent program's version. */
    version?: string;
    /** The model that it uses. */
    model?: string;
    /** What it does. */
    state?: string;
    /** Whether it is signed in to its vendor. */
    login?: string;
  }

  /** Of `approval_request`. */
  interface ApprovalRequest {
    /** Its identity. */
    approval_id: string;
    /** The tool that waits. */
    tool: string;
    /** The call that waits. */
    tool_call_id?: string;
    /** What it would be called with. */
    arguments?: unknown;
    /** What to show. */
    title?: string;
    /** When it expires, RFC 3339. */
    expires_at?: string;
  }

  /** Of `approval_decision`. */
  interface ApprovalDecision {
    /** Which request. */
    approval_id: string;
    /** `approved`, `denied`, `expired`, `withdrawn`. */
    decision: string;
    /** Who decided. */
    by?: string;
    /** What is to be told to the agent. */
    message?: string;
    /** Other arguments than it asked for. */
    arguments?: unknown;
    /** Every later call of this tool in this session is approved too. */
    always?: boolean;
  }

  /** Of `command`. */
  interface CommandBody {
    /** Its identity. */
    command_id: string;
    /** What to do. */
    action: string;
    /** With what. */
    arguments?: unknown;
    /** Who ordered it. */
    actor?: string;
    /** When it is no longer wanted, RFC 3339. */
    expires_at?: string;
  }

  /** Of `command_state`. */
  interface CommandState {
    /** Which command. */
    command_id: string;
    /** `queued`, `delivered`, `acked`, `done`, `failed`, `expired`, `withdrawn`. */
    state: string;
    /** Why it failed or was withdrawn. */
    reason?: string;
    /** What came of it. */
    result?: unknown;
    /** Who withdrew it. */
    by?: string;
  }

  /** Of `task_start`. */
  interface TaskStart {
    /** The task. */
    task: string;
    /** Which one, from 1. */
    number?: number;
    /** Of how many. */
    total?: number;
  }

  /** Of `task_complete`. */
  interface TaskComplete {
    /** The task. */
    task: string;
    /** `passed`, `failed`, `error`, `n/a`. */
    outcome: string;
    /** From 0 to 1. */
    score?: number;
    /** How long. */
    duration_ms?: number;
  }

  /** Of `grader_result`. */
  interface GraderResult {
    /** The grader. */
    grader: string;
    /** Its verdict. */
    passed: boolean;
    /** What kind of grader. */
    grader_type?: string;
    /** From 0 to 1. */
    score?: number;
    /** What it says. */
    message?: string;
  }

  /** Of `run_complete`. */
  interface RunComplete {
    /** Tasks in all. */
    total?: number;
    /** Passed ones. */
    passed?: number;
    /** Failed ones. */
    failed?: number;
    /** Ones that could not be judged. */
    errors?: number;
    /** How long. */
    duration_ms?: number;
  }

  /** Of `history_trimmed`. */
  interface HistoryTrimmed {
    /** `events`, `deltas`, `raw`, `session`. */
    what: string;
    /** What is before this place is gone. */
    before: number;
    /** How many. */
    count: number;
  }
}
