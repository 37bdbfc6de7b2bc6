-- Dead batches on their way to the queues that their jobs name.

-- One row per job that names a queue and had a dead batch.
create table job_queues (
  activation_id text    primary key references activations,  -- the job
  arn           text    not null,
  waiting       integer not null default 0,      -- batches to be sent
  sent          integer not null default 0,      -- batches
  refused       integer not null default 0,      -- batches that the queue does not take
  tries         integer not null default 0,      -- in a row that failed
  next_at       real    not null default 0,      -- seconds since 1970; not before
  failure       text    not null default '',     -- of the last try, or why the last batch was refused
  given_up      integer not null default 0
) strict;
create index job_queues_open on job_queues (next_at) where waiting > 0 and given_up = 0;

-- The batches to be sent.
create table queue_letters (
  letter_id     integer primary key,
  activation_id text    not null references job_queues,
  batch_id      text    not null,
  attempts      integer not null,
  error         text    not null,                -- of the last attempt
  body          blob    not null                 -- a JSON array
) strict;
create index queue_letters_by_job on queue_letters (activation_id, letter_id);
