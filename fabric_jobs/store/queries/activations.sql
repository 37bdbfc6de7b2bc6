-- name: insert_activation
-- Insert an activation, PENDING.
insert into activations (activation_id, project_id, kind, name, entry, pins, state, session_id, correlation_id, username,
  workspace, payload, body, properties, headers, retry_of, start_node, executor, admitted, cold, started_at)
values (:activation_id, :project_id, :kind, :name, :entry, :pins, 'PENDING', :session_id, :correlation_id, :username,
  :workspace, x'', :payload, :properties, :headers, :retry_of, :start_node, :executor, :admitted, :cold, :started_at);

-- name: activation
-- One activation.
select * from activation_rows where activation_id = :activation_id;

-- name: activation_payload
-- The payload it was invoked with.
select body from activations where activation_id = :activation_id;

-- name: pending_activation
-- One row while the activation is PENDING.
select 1 from activations where activation_id = :activation_id and state = 'PENDING';

-- name: activations
-- The newest activations, filtered; null matches all.
select * from activation_rows
where project_id = :project_id
  and (:state is null or state = :state)
  and (:agent is null or (kind = 'agent' and name = :agent))
  and (:skill is null or (kind = 'skill' and name = :skill))
  and (:correlation_id is null or correlation_id = :correlation_id)
  and (:start_before is null or started_at < :start_before) and (:start_after is null or started_at > :start_after)
  and (:end_before is null or ended_at < :end_before) and (:end_after is null or ended_at > :end_after)
order by started_at desc, activation_id limit :limit offset :skip;

-- name: activations_oldest
-- The same, oldest first.
select * from activation_rows
where project_id = :project_id
  and (:state is null or state = :state)
  and (:agent is null or (kind = 'agent' and name = :agent))
  and (:skill is null or (kind = 'skill' and name = :skill))
  and (:correlation_id is null or correlation_id = :correlation_id)
  and (:start_before is null or started_at < :start_before) and (:start_after is null or started_at > :start_after)
  and (:end_before is null or ended_at < :end_before) and (:end_after is null or ended_at > :end_after)
order by started_at, activation_id limit :limit offset :skip;

-- name: first_waiting_activation
-- One row when an activation waits for its turn.
select 1 from activations where state = 'PENDING' and admitted = 0 limit 1;

-- name: admitted_activation_count
-- How many are running.
select count(*) as count from activations where state = 'PENDING' and admitted = 1;

-- name: waiting_activation_count
-- How many wait for their turn.
select count(*) as count from activations where state = 'PENDING' and admitted = 0;

-- name: waiting_activations_before
-- How many are ahead of a waiting one: they run in the order in which they came.
select count(*) as count from activations where state = 'PENDING' and admitted = 0
  and rowid < (select rowid from activations where activation_id = :activation_id);

-- name: activations_to_admit
-- The first waiting ones, as many as there is room for.
select activation_id, project_id from activations where state = 'PENDING' and admitted = 0 order by rowid
limit max(0, :limit - (select count(*) from activations where state = 'PENDING' and admitted = 1));

-- name: admit_activation
-- Let a waiting activation run.
update activations set admitted = 1 where activation_id = :activation_id;

-- name: unsettled_activations
-- The activations that the engine must look at when it starts: pending ones, and ended ones with live tasks.
select activation_id from activations where state = 'PENDING'
union
select activation_id from tasks where state in ('QUEUED', 'STARTING', 'ACTIVE') and activation_id is not null;

-- name: end_activation
-- PENDING to an end; refused when it has ended.
update activations set state = :state, cause = :cause, error = :error, ended_at = :ended_at
where activation_id = :activation_id and state = 'PENDING';

-- name: ask_activation_cancel
-- Asking to cancel sets a flag.
update activations set cancel_requested = 1, cause = :cause where activation_id = :activation_id and state = 'PENDING';
