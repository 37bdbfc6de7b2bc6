-- Every row has a project. Times are seconds since 1970 (UTC); JSON is text; payloads are bytes as they came.

create table settings (
  key   text primary key,
  value text not null
) strict, without rowid;

-- Versions of skills and agents. A version never changes; an activation pins those that it started with.
create table definitions (
  project_id text    not null,
  kind       text    not null check (kind in ('skill', 'agent')),
  name       text    not null,
  version    integer not null,
  hash       text    not null,           -- of body and source
  body       text    not null,           -- the document as JSON
  source     text    not null,           -- directory of the skill's files; empty when not given
  saved_at   real    not null,
  primary key (project_id, kind, name, version)
) strict, without rowid;

create table activations (
  activation_id    text primary key,
  project_id       text    not null,
  kind             text    not null check (kind in ('skill', 'agent')),
  name             text    not null,     -- of the skill or the agent
  entry            text    not null,     -- the input or the service that was invoked
  pins             text    not null,     -- {"agent": version | null, "skills": {name: version}}
  state            text    not null,
  cancel_requested integer not null default 0,
  cause            text    not null default '',
  error            text,                 -- {"skill", "task", "record", "exitCode", "reason", "lastLines"}
  session_id       text    not null,
  correlation_id   text    not null,
  username         text    not null,
  workspace        text    not null,     -- root of the workspace; empty when not known
  payload          blob    not null,
  properties       text    not null,
  headers          text    not null,
  retry_of         text,                 -- the activation whose dead letters it retries
  start_node       text    not null default '', -- a retry begins at this node; empty: at the service or the input
  started_at       real    not null,
  ended_at         real
) strict;
create index activations_by_start on activations (project_id, started_at);
create index activations_pending on activations (activation_id) where state = 'PENDING';

-- One row per mapping of one activation: its log, and how far its consumer has got.
create table channels (
  channel_id    integer primary key,
  project_id    text    not null,
  activation_id text    not null references activations,
  wire          integer not null,              -- index of the wire in the plan
  sending_id    text    not null,              -- the `channelId` of the sender's message
  output        text    not null,              -- the output of the sender that this wire takes
  node          text    not null,              -- the node or the join that consumes; empty: it is part of the response
  conditions    text    not null default '',   -- JSON: conditions that a record has to meet; empty: none
  exempt        integer not null default 0,    -- senders never wait for its consumer: it closes a cycle, or leads to a join
  next_offset   integer not null default 0,    -- records appended
  size          integer not null default 0,    -- bytes appended
  acked         integer not null default 0,    -- every record below is finished
  dispatched    integer not null default 0,    -- a task row was made for every record below
  dropped       integer not null default 0,    -- records that came after the consumer had closed
  ended         integer not null default 0,    -- no record can come any more
  closed        integer not null default 0,    -- the consumer wants no more
  unique (activation_id, wire)
) strict;
create index channels_by_sender on channels (activation_id, sending_id, output);

-- One tree without an index: each page that a commit touches makes its fsync slower.
create table segments (
  channel_id   integer not null references channels,
  first_offset integer not null,
  count        integer not null,
  hops         integer not null default 0,     -- mappings that the records have passed
  bytes        blob    not null,               -- NDJSON, each record ends in a newline
  primary key (channel_id, first_offset)
) strict, without rowid;

create table tasks (
  task_id          integer primary key,
  project_id       text    not null,
  name             text    not null unique,    -- <project>-<skill>-<action>-<random>
  activation_id    text references activations, -- null: a daemon, outside any activation
  node             text    not null,
  skill_name       text    not null,
  action_name      text    not null,
  kind             text    not null default 'job', -- job | calls: HTTP calls for one node | daemon: a program that listens
  receives         text    not null,
  channel_id       integer references channels,
  record_offset    integer,                    -- message tasks: the record that it handles
  state            text    not null,
  attempt          integer not null default 0, -- the current one; 0 before the first
  failures         integer not null default 0, -- attempts that failed
  lost             integer not null default 0, -- attempts whose place died
  cancel_requested integer not null default 0,
  cause            text    not null default '',
  sequence         integer not null default 0, -- of the last commit of the current attempt
  sent             integer not null default 0, -- records that it committed
  hops             integer not null default 0, -- mappings that the record it handles has passed
  hand             text,                       -- [channel, offset] of a record whose outputs are partly committed
  left_at          text,                       -- [channel, offset] of the record that an attempt was at when it ended
  failed_at        text    not null default '', -- where the last attempt failed: `failures` counts those that got no further
  careful          text    not null default '{}', -- {channel: offset}: below it, one record at a time is handed out
  sends            text    not null default '{}', -- {output: [count, bytes, crc]} committed since the last acknowledgement
  repeated         text    not null default '{}', -- how much of that the current attempt has repeated
  not_before_at    real    not null default 0,
  created_at       real    not null,
  started_at       real,
  ended_at         real,
  exit_code        integer
) strict;
create index tasks_by_activation on tasks (activation_id, task_id);
create index tasks_live on tasks (activation_id) where state in ('QUEUED', 'STARTING', 'ACTIVE');
create index tasks_by_record on tasks (channel_id, record_offset) where channel_id is not null;

create table attempts (
  task_id    integer not null references tasks,
  attempt    integer not null,
  executor   text    not null,
  handle     text,                             -- everything that a new process needs to find it again
  started_at real    not null,
  ended_at   real,
  exit_code  integer,
  reason     text    not null default '',
  primary key (task_id, attempt)
) strict, without rowid;

-- Outputs of messages(acknowledge="end"): released when the task exits 0.
create table held (
  held_id integer primary key,
  task_id integer not null references tasks,
  output  text    not null,
  count   integer not null,
  bytes   blob    not null
) strict;
create index held_by_task on held (task_id);

-- Idempotency keys of plain HTTP senders.
create table message_keys (
  task_id integer not null references tasks,
  key     text    not null,
  primary key (task_id, key)
) strict, without rowid;

create table dead_letters (
  dead_letter_id integer primary key autoincrement, -- people type these numbers, so none is used twice
  project_id     text    not null,
  activation_id  text    not null references activations,
  channel_id     integer not null references channels,
  record_offset  integer not null,
  task_id        integer not null references tasks,
  skill_name     text    not null,
  payload        blob    not null,
  error          text    not null,           -- in the form of an activation's error
  on_error       text    not null,           -- continue | complete
  attempts       integer not null,
  dead_at        real    not null,
  retried_as     text,
  unique (channel_id, record_offset)
) strict;
create index dead_letters_by_activation on dead_letters (activation_id);
create index dead_letters_by_task on dead_letters (task_id);

-- Which records a record was made from: one row per commit and channel.
create table lineage (
  channel_id   integer not null references channels,
  first_offset integer not null,
  count        integer not null,
  task_id      integer not null,             -- no reference: it would need another index, written by every commit
  parents      text    not null,             -- runs as store/sent.py has them; empty: the record of the task, or all that it read
  primary key (channel_id, first_offset)
) strict, without rowid;

create table events (
  number        integer primary key autoincrement,
  project_id    text not null,
  activation_id text,
  task_id       integer,
  kind          text not null,
  body          text not null,
  at            real not null
) strict;
create index events_by_activation on events (activation_id, number);
