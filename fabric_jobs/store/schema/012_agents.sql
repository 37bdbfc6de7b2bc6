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
