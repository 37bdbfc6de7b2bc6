-- Schedules and their occurrences.

create table schedules (
  schedule_id     integer primary key autoincrement,
  project_id      text    not null,
  name            text    not null,
  kind            text    not null check (kind in ('skill', 'agent')),
  target          text    not null,          -- name of the skill or the agent
  entry           text    not null,          -- the input or the service
  cron            text    not null,
  timezone        text    not null,
  overlap         text    not null check (overlap in ('skip', 'queue', 'parallel', 'cancel')),
  catchup         text    not null check (catchup in ('latest', 'none', 'all')),
  catchup_seconds real    not null,
  jitter_seconds  real    not null,
  payload         blob    not null,          -- JSON text
  properties      text    not null,
  executor        text    not null,          -- empty: the gateway's default
  username        text    not null,
  session_id      text    not null,
  correlation_id  text    not null,
  paused          integer not null default 0,
  note            text    not null default '',
  last_at         real    not null,          -- no time at or before it runs again
  next_at         real,                      -- null: never
  created_at      real    not null,
  updated_at      real    not null
) strict;
create unique index schedules_by_name on schedules (project_id, lower(name));
create view schedule_rows as
  select schedule_id, project_id, name, kind, target, entry, cron, timezone, overlap, catchup, catchup_seconds, jitter_seconds, properties,
    executor, username, session_id, correlation_id, paused, note, last_at, next_at, created_at, updated_at
  from schedules;

create table occurrences (
  schedule_id   integer not null references schedules on delete cascade,
  at            real    not null,            -- the time it is for
  outcome       text    not null check (outcome in ('started', 'skipped', 'missed', 'queued')),
  reason        text    not null,
  origin        text    not null check (origin in ('time', 'trigger', 'backfill')),
  activation_id text,                        -- no reference: a pruned activation leaves its occurrence
  decided_at    real    not null,
  primary key (schedule_id, at)
) strict, without rowid;
create index occurrences_by_activation on occurrences (activation_id) where activation_id is not null;
create index occurrences_queued on occurrences (schedule_id) where outcome = 'queued';
