-- Keys of invocations, and the indexes of lists.

-- Payloads are up to 16 MiB long, and SQLite reads a row from its beginning: columns after a payload cost all its pages.
create table payloads (
  activation_id text primary key references activations,
  body          blob not null
) strict, without rowid;
insert into payloads (activation_id, body) select activation_id, coalesce(body, payload) from activations;
drop view activation_rows;
alter table activations drop column body;
alter table activations drop column payload;

-- What the caller calls the invocation. After a failure another one may have the same: the newest counts.
alter table activations add column key text not null default '';
create index activations_by_key on activations (project_id, key) where key <> '';

-- Each filter of a list has an index, in the order of the list.
drop index activations_by_start;
create index activations_by_start on activations (project_id, started_at, activation_id);
create index activations_by_state on activations (project_id, state, started_at, activation_id);
create index activations_by_name on activations (project_id, kind, name, started_at, activation_id);
create index activations_by_correlation on activations (project_id, correlation_id, started_at, activation_id)
  where correlation_id <> activation_id; -- by default it is the same
create index activations_by_end on activations (project_id, ended_at) where ended_at is not null;

alter table tasks add column agent text not null default ''; -- of its activation; empty: it is of a skill, or there is none
update tasks set agent = name_of.name from activations name_of
  where name_of.activation_id = tasks.activation_id and name_of.kind = 'agent';
create index tasks_by_project on tasks (project_id);
create index tasks_by_skill on tasks (project_id, skill_name);
create index tasks_by_action on tasks (project_id, action_name);
create index tasks_by_agent on tasks (project_id, agent) where agent <> '';
create index tasks_by_end on tasks (project_id, state) where state in ('COMPLETE', 'FAILED', 'CANCELLED', 'TIMEOUT');

create index dead_letters_by_project on dead_letters (project_id);
create index dead_letters_by_skill on dead_letters (project_id, skill_name);
create index dead_letters_left on dead_letters (project_id) where retried_as is null;
create index dead_letters_retried on dead_letters (project_id) where retried_as is not null;
