-- Which process of the current attempt committed last, and whether it may send more: as long as it may, exit 0 is not a success.
alter table tasks add column sender text not null default '';
alter table tasks add column sender_open integer not null default 0;

-- The cost of a look depends on what is live, not on what has ended: each frequent query has an index.
create index tasks_busy on tasks (task_id) where state in ('STARTING', 'ACTIVE') and receives = 'message' and kind = 'job';
create index tasks_stream on tasks (activation_id) where receives = 'stream';
create index tasks_unfinished on tasks (channel_id, record_offset) where state in ('QUEUED', 'STARTING', 'ACTIVE');
create index tasks_live_daemons on tasks (task_id) where kind = 'daemon' and state in ('QUEUED', 'STARTING', 'ACTIVE');

-- Payloads are up to 16 MiB long, and SQLite reads a row from its beginning: so they are the last column, read only when needed.
alter table activations add column body blob; -- the payload; `payload` is empty
update activations set body = payload, payload = x'';
create view activation_rows as
  select activation_id, project_id, kind, name, entry, pins, state, cancel_requested, cause, error, session_id, correlation_id, username,
    workspace, properties, headers, retry_of, start_node, started_at, ended_at, executor
  from activations;
alter table dead_letters add column body blob;
update dead_letters set body = payload, payload = x'';
create view dead_letter_rows as
  select dead_letter_id, project_id, activation_id, channel_id, record_offset, task_id, skill_name, error, on_error, attempts, dead_at,
    retried_as
  from dead_letters;

-- What the program itself reported about a record that it could not handle.
alter table tasks add column raised text not null default ''; -- the exception that ends the current attempt
alter table tasks add column rejected text not null default ''; -- details, JSON: the task's record is rejected, or the task fails with one
