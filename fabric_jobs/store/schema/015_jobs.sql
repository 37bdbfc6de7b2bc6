-- Jobs of Batch and Task APIs: what an activation has besides, its batches that deviate, and its workers.
create table jobs (
  activation_id   text    primary key references activations,  -- the job's id
  project_id      text    not null,
  api_name        text    not null,
  kind            text    not null,              -- BatchAPI | TaskAPI
  api_version     integer not null,              -- of the skill
  workers         integer not null,
  batch_size      integer not null,
  config          text    not null,              -- JSON, as submitted
  timeout         integer,                       -- seconds since the submission
  batch_timeout   real,                          -- seconds
  queue_arn       text    not null default '',   -- of the dead letter queue
  max_receive_count integer not null,            -- attempts of a batch
  source          text    not null,              -- JSON: where the items come from; {}: they came with the submission
  position        text,                          -- JSON: where the enumerator goes on; null: it is done
  verdict         text    not null default '',   -- why it ended early: timed_out | stopped | enqueue_failed | worker_error | worker_oom
  submitted_at    real    not null               -- seconds since 1970
) strict;
create index jobs_by_project on jobs (project_id, api_name, activation_id); -- a newer job's id is lower
create index jobs_enumerating on jobs (activation_id) where position is not null;

-- Per node of an activation that works in batches.
create table batch_counts (
  activation_id text    not null references activations,
  node          text    not null,
  succeeded     integer not null default 0,      -- batches
  failed        integer not null default 0,      -- attempts
  dead          integer not null default 0,      -- batches
  seconds       real    not null default 0,      -- of the attempts that succeeded
  completing    integer,                         -- the task that calls on-job-complete
  completed     text    not null default '',     -- what came of it: a status, or an error
  primary key (activation_id, node)
) strict, without rowid;

-- Batches that failed, or whose worker died.
create table batches (
  channel_id   integer not null references channels,
  first_offset integer not null,
  next_offset  integer not null,
  attempts     integer not null default 0,       -- that ended
  lost         integer not null default 0,       -- of these: the worker died
  state        text    not null,                 -- waiting | succeeded | dead
  not_before   real    not null default 0,       -- seconds since 1970
  error        text    not null default '',      -- of the last attempt
  task_id      integer not null,                 -- that had the last attempt
  seconds      real    not null default 0,       -- of the last attempt
  ended_at     real    not null,                 -- the last attempt
  primary key (channel_id, first_offset)
) strict, without rowid;

-- When a lease runs out unless its task asks for more time; null: it ends with its attempt.
alter table leases add column expires_at real;  -- seconds since 1970
create index leases_expiring on leases (channel_id, expires_at) where expires_at is not null;

-- Since when the current attempt of a worker handles batches.
create table workers (
  task_id  integer primary key references tasks,
  attempt  integer not null,
  ready_at real    not null,                     -- seconds since 1970
  finished integer not null default 0            -- batches of the current attempt
) strict;
