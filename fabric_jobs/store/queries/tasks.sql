-- name: insert_task
-- Insert a task, QUEUED.
insert into tasks (project_id, name, activation_id, node, skill_name, action_name, kind, receives, channel_id, record_offset, hops,
  records, worker, tried, state, created_at, agent)
values (:project_id, :name, :activation_id, :node, :skill_name, :action_name, :kind, :receives, :channel_id, :record_offset, :hops,
  :records, :worker, :tried, 'QUEUED', :created_at,
  coalesce((select name from activations where activation_id = :activation_id and kind = 'agent'), ''));

-- name: task
-- One task.
select * from tasks where task_id = :task_id;

-- name: task_by_name
-- One task by its name.
select * from tasks where project_id = :project_id and name = :name;

-- part: listed_task
-- What lists read.
task_id, project_id, name, activation_id, node, skill_name, action_name, kind, receives, channel_id, record_offset, state, attempt,
  failures, lost, cancel_requested, cause, sequence, sent, hops, hand, left_at, failed_at, careful, sends, repeated, not_before_at,
  created_at, started_at, ended_at, exit_code, sender, sender_open, raised, place, rejected, records, worker, tried, agent

-- part: wanted_tasks
-- A page of a filter; null matches all.
task_id > :above and task_id < :below
  and (:activation_id is null or activation_id = :activation_id)
  and (:skill_name is null or skill_name = :skill_name)
  and (:action_name is null or action_name = :action_name)
  and (:state is null or state = :state)
  and (:agent is null or agent = :agent)

-- name: tasks, tasks_oldest
-- The newest tasks, or the oldest.
select {listed_task} from tasks indexed by tasks_by_project where project_id = :project_id and {wanted_tasks}
order by task_id {desc|asc} limit :limit offset :skip;

-- name: tasks_of_activation, tasks_of_activation_oldest
-- The same of one activation.
select {listed_task} from tasks indexed by tasks_by_activation where project_id = :project_id and activation_id = :activation_id and {wanted_tasks}
order by task_id {desc|asc} limit :limit offset :skip;

-- name: tasks_of_activation_count
-- How many there are, if fewer than `most`.
select count(*) as count from (select 1 from tasks indexed by tasks_by_activation where project_id = :project_id and activation_id = :activation_id limit :most);

-- name: tasks_of_skill, tasks_of_skill_oldest
-- The same of one skill.
select {listed_task} from tasks indexed by tasks_by_skill where project_id = :project_id and skill_name = :skill_name and {wanted_tasks}
order by task_id {desc|asc} limit :limit offset :skip;

-- name: tasks_of_skill_count
-- How many there are, if fewer than `most`.
select count(*) as count from (select 1 from tasks indexed by tasks_by_skill where project_id = :project_id and skill_name = :skill_name limit :most);

-- name: tasks_of_action, tasks_of_action_oldest
-- The same of one action.
select {listed_task} from tasks indexed by tasks_by_action where project_id = :project_id and action_name = :action_name and {wanted_tasks}
order by task_id {desc|asc} limit :limit offset :skip;

-- name: tasks_of_action_count
-- How many there are, if fewer than `most`.
select count(*) as count from (select 1 from tasks indexed by tasks_by_action where project_id = :project_id and action_name = :action_name limit :most);

-- name: tasks_of_agent, tasks_of_agent_oldest
-- The same of the activations of one agent.
select {listed_task} from tasks indexed by tasks_by_agent where project_id = :project_id and agent = :agent and agent <> '' and {wanted_tasks}
order by task_id {desc|asc} limit :limit offset :skip;

-- name: tasks_of_agent_count
-- How many there are, if fewer than `most`.
select count(*) as count from (select 1 from tasks indexed by tasks_by_agent where project_id = :project_id and agent = :agent and agent <> '' limit :most);

-- name: tasks_that_ended, tasks_that_ended_oldest
-- The same of those that ended in one state.
select {listed_task} from tasks indexed by tasks_by_end where project_id = :project_id and state = :state and state in ('COMPLETE', 'FAILED', 'CANCELLED', 'TIMEOUT') and {wanted_tasks}
order by task_id {desc|asc} limit :limit offset :skip;

-- name: tasks_that_ended_count
-- How many there are, if fewer than `most`.
select count(*) as count from (select 1 from tasks indexed by tasks_by_end where project_id = :project_id and state = :state and state in ('COMPLETE', 'FAILED', 'CANCELLED', 'TIMEOUT') limit :most);

-- name: tasks_that_live, tasks_that_live_oldest
-- The same of those that have not ended, and are in one state.
select {listed_task} from tasks indexed by tasks_live where project_id = :project_id and state = :state and state in ('QUEUED', 'STARTING', 'ACTIVE') and {wanted_tasks}
order by task_id {desc|asc} limit :limit offset :skip;

-- name: tasks_that_live_count
-- How many there are, if fewer than `most`.
select count(*) as count from (select 1 from tasks indexed by tasks_live where project_id = :project_id and state = :state and state in ('QUEUED', 'STARTING', 'ACTIVE') limit :most);

-- name: tasks_beginning
-- Those whose name begins with a text.
select {listed_task} from tasks indexed by sqlite_autoindex_tasks_1
where name >= :begin and name < :beyond and project_id = :project_id order by name limit :limit;

-- name: live_tasks
-- The tasks of an activation that have not ended.
select * from tasks where activation_id = :activation_id and state in ('QUEUED', 'STARTING', 'ACTIVE') order by task_id;

-- name: stream_counts
-- How many stream tasks the nodes of an activation have, including ended ones.
select node, count(*) as count from tasks where activation_id = :activation_id and receives = 'stream' group by node;

-- name: totals_by_node
-- How many tasks of each node are in each state, what they sent and when they ran.
select node, state, count, sent, started_at, ended_at from task_totals where activation_id = :activation_id
union all
select node, state, count(*), sum(sent), min(started_at), null from tasks
where activation_id = :activation_id and state in ('QUEUED', 'STARTING', 'ACTIVE') group by node, state;

-- name: live_daemons
-- Daemons that have not ended.
select * from tasks where kind = 'daemon' and state in ('QUEUED', 'STARTING', 'ACTIVE') order by task_id;

-- name: newest_daemon
-- The newest daemon of an action.
select * from tasks indexed by tasks_by_activation where activation_id is null and kind = 'daemon' and project_id = :project_id and skill_name = :skill_name
  and action_name = :action_name
order by task_id desc limit 1;

-- name: live_task_count
-- How many tasks have not ended, without daemons.
select count(*) as count from tasks where state in ('QUEUED', 'STARTING', 'ACTIVE') and kind <> 'daemon';

-- name: busy_slots
-- How many message tasks hold a worker slot of a place.
select count(*) as count from tasks
where place = :place and state in ('STARTING', 'ACTIVE') and receives <> 'stream' and kind = 'job';

-- name: start_task
-- QUEUED to STARTING, with a new attempt; refused when asked to end. `moment` is of the monotonic clock.
update tasks set state = 'STARTING', place = :place, attempt = attempt + 1, cause = '', sequence = 0, sender = '', sender_open = 0, repeated = '{}', left_at = null, raised = '', not_before_at = :moment, started_at = coalesce(started_at, :at)
where task_id = :task_id and state = 'QUEUED' and cancel_requested = 0;

-- name: activate_task
-- STARTING to ACTIVE.
update tasks set state = 'ACTIVE' where task_id = :task_id and attempt = :attempt and state = 'STARTING';

-- name: postpone_task
-- Time that its place spent waiting is not the program's time.
update tasks set not_before_at = :begun_at where task_id = :task_id and attempt = :attempt and state in ('STARTING', 'ACTIVE');

-- name: requeue_task
-- STARTING or ACTIVE back to QUEUED: its attempt ended, and attempts are left.
update tasks set state = 'QUEUED', lost = lost + :lost, failures = :failures, failed_at = :failed_at, careful = :careful,
  not_before_at = :not_before_at, cause = :cause
where task_id = :task_id and attempt = :attempt and state in ('STARTING', 'ACTIVE');

-- name: shrink_task
-- Another task has taken the second half of its records.
update tasks set records = :records, tried = :tried, rejected = '' where task_id = :task_id;

-- name: end_task
-- To an end: COMPLETE, FAILED, CANCELLED or TIMEOUT; a task that never ran can only fail or be cancelled.
update tasks set state = :state, cause = :cause, exit_code = :exit_code, ended_at = :ended_at
where task_id = :task_id and attempt = :attempt
  and (state in ('STARTING', 'ACTIVE') or (state = 'QUEUED' and :state in ('FAILED', 'CANCELLED')));

-- name: note_left
-- The record that an attempt is at.
update tasks set left_at = :left_at, raised = :raised where task_id = :task_id and attempt = :attempt and state in ('STARTING', 'ACTIVE');

-- name: note_rejected
-- The program rejected its task's record, or one with which the activation fails; refused when there is one already.
update tasks set rejected = :rejected where task_id = :task_id and rejected = '';

-- name: record_passed
-- The record in hand was finished, but not by its task: what is sent from here on follows the next record.
update tasks set hand = null, sends = :sends where task_id = :task_id;

-- name: end_calls
-- End the call tasks of a completed activation.
update tasks set state = 'COMPLETE', ended_at = :ended_at where activation_id = :activation_id and kind = 'calls' and state = 'ACTIVE';

-- name: ask_task_cancel
-- Asking to cancel sets a flag.
update tasks set cancel_requested = 1, cause = :cause
where task_id = :task_id and cancel_requested = 0 and state in ('QUEUED', 'STARTING', 'ACTIVE');

-- name: ask_cancel_of_live_tasks
-- The activation ends: ask its live tasks to stop.
update tasks set cancel_requested = 1, cause = :cause
where activation_id = :activation_id and cancel_requested = 0 and state in ('QUEUED', 'STARTING', 'ACTIVE');

-- name: insert_attempt
-- Insert a new attempt of a task.
insert into attempts (task_id, attempt, executor, started_at) values (:task_id, :attempt, :executor, :started_at);

-- name: set_handle
-- The executor accepted the attempt.
update attempts set handle = :handle where task_id = :task_id and attempt = :attempt;

-- name: end_attempt
-- How the attempt ended.
update attempts set ended_at = :ended_at, exit_code = :exit_code, reason = :reason
where task_id = :task_id and attempt = :attempt and ended_at is null;

-- name: attempt
-- One attempt.
select * from attempts where task_id = :task_id and attempt = :attempt;

-- name: attempts_of_task
-- All attempts of a task.
select * from attempts where task_id = :task_id order by attempt;

-- name: recent_attempts
-- Accepted current attempts of an activation: of live tasks and of the newest; for calls, that of the daemon.
select node, handle from (
  select t.task_id, t.node, case t.kind when 'calls' then (
      select da.handle from tasks d indexed by tasks_by_activation join attempts da on da.task_id = d.task_id and da.attempt = d.attempt
      where d.activation_id is null and d.state in ('STARTING', 'ACTIVE') and d.skill_name = t.skill_name
        and d.action_name = t.action_name and d.project_id = t.project_id
      order by d.task_id desc limit 1
    ) else a.handle end as handle
  from tasks t join attempts a on a.task_id = t.task_id and a.attempt = t.attempt
  where t.task_id in (
    select task_id from tasks where activation_id = :activation_id and state in ('STARTING', 'ACTIVE')
    union
    select * from (select task_id from tasks where activation_id = :activation_id order by task_id desc limit :newest)
  )
)
where handle is not null
order by task_id desc;
