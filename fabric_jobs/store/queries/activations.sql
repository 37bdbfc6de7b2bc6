-- name: insert_activation
-- PENDING from the start.
insert into activations (activation_id, project_id, kind, name, entry, pins, state, session_id, correlation_id, username,
  workspace, payload, body, properties, headers, retry_of, start_node, executor, admitted, cold, started_at)
values (:activation_id, :project_id, :kind, :name, :entry, :pins, 'PENDING', :session_id, :correlation_id, :username,
  :workspace, x'', :payload, :properties, :headers, :retry_of, :start_node, :executor, :admitted, :cold, :started_at);

-- name: activation
-- One activation.
select * from activation_rows where activation_id = :activation_id;

-- name: activation_payload
-- What it was invoked with.
select body from activations where activation_id = :activation_id;

-- name: pending_activation
-- Is it still running?
select 1 from activations where activation_id = :activation_id and state = 'PENDING';

-- name: activations
-- The newest activations, filtered; null takes all.
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
-- The same, the oldest first.
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
-- Does one wait for its turn?
select 1 from activations where state = 'PENDING' and admitted = 0 limit 1;

-- name: admitted_activation_count
-- How many run?
select count(*) as count from activations where state = 'PENDING' and admitted = 1;

-- name: waiting_activation_count
-- How many wait for their turn?
select count(*) as count from activations where state = 'PENDING' and admitted = 0;

-- name: waiting_activations_before
-- Their order is that in which they came.
select count(*) as count from activations where state = 'PENDING' and admitted = 0
  and rowid < (select rowid from activations where activation_id = :activation_id);

-- name: activations_to_admit
-- The first of those that wait, as many as there is room for.
select activation_id, project_id from activations where state = 'PENDING' and admitted = 0 order by rowid
limit max(0, :limit - (select count(*) from activations where state = 'PENDING' and admitted = 1));

-- name: admit_activation
-- It is its turn.
update activations set admitted = 1 where activation_id = :activation_id;

-- name: unsettled_activations
-- The activations that the engine has to look at after a start: pending ones, and ended ones with tasks still live.
select activation_id from activations where state = 'PENDING'
union
select activation_id from tasks where state in ('QUEUED', 'STARTING', 'ACTIVE') and activation_id is not null;

-- name: end_activation
-- PENDING to an end; refused when it ended before.
update activations set state = :state, cause = :cause, error = :error, ended_at = :ended_at
where activation_id = :activation_id and state = 'PENDING';

-- name: ask_activation_cancel
-- The wish to cancel is a flag.
update activations set cancel_requested = 1, cause = :cause where activation_id = :activation_id and state = 'PENDING';
