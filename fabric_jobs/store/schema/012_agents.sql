-- Snapshots of agents, and callbacks.

-- An agent and its skills in fixed versions, to be invoked later. Versions never change, so their numbers are enough.
create table snapshots (
  snapshot_id text primary key,
  project_id  text not null,
  agent_name  text not null,
  title       text not null,
  pins        text not null,                  -- as those of an activation
  created_by  text not null,
  created_at  real not null
) strict;
create index snapshots_by_agent on snapshots (project_id, agent_name, created_at);

-- Where the record of an activation is posted when it has ended; the row is deleted once that was answered with 2xx.
create table callbacks (
  activation_id text primary key references activations,
  project_id    text    not null,
  url           text    not null,
  tries         integer not null default 0,
  next_at       real    not null default 0,   -- not before
  error         text    not null default '',  -- of the last try
  given_up      integer not null default 0    -- all tries are used up
) strict;
create index callbacks_open on callbacks (next_at) where given_up = 0;
