-- Whether the programs of an activation start cold, whatever their actions say.
alter table activations add column cold integer not null default 0;

-- What a row of these tables is for those who read it; payloads stay where they are.
drop view activation_rows;
create view activation_rows as
  select activation_id, project_id, kind, name, entry, pins, state, cancel_requested, cause, error, session_id, correlation_id, username,
    workspace, properties, headers, retry_of, start_node, started_at, ended_at, executor, cold
  from activations;
