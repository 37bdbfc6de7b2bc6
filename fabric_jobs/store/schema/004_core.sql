-- Each place has worker slots of its own: where the current attempt of a task runs.
alter table tasks add column place text not null default '';
update tasks set place = coalesce((select executor from attempts
    where attempts.task_id = tasks.task_id and attempts.attempt = tasks.attempt), '')
  where state in ('STARTING', 'ACTIVE');
drop index tasks_busy;
create index tasks_busy on tasks (place) where state in ('STARTING', 'ACTIVE') and receives = 'message' and kind = 'job';

-- One that waits for its turn has no tasks yet; and what was asked of all attempts of an activation.
alter table activations add column admitted integer not null default 1;
alter table activations add column cold integer not null default 0; -- attempts are not forked from template processes
drop index activations_pending;
create index activations_admitted on activations (admitted) where state = 'PENDING';
drop view activation_rows;
create view activation_rows as
  select activation_id, project_id, kind, name, entry, pins, state, cancel_requested, cause, error, session_id, correlation_id, username,
    workspace, properties, headers, retry_of, start_node, started_at, ended_at, executor, admitted, cold
  from activations;
