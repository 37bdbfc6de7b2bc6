-- name: insert_activation
-- Insert an activation, PENDING.
insert into activations (activation_id, project_id, kind, name, entry, pins, state, session_id, correlation_id, username,
  workspace, properties, headers, retry_of, start_node, executor, admitted, cold, key, started_at)
values (:activation_id, :project_id, :kind, :name, :entry, :pins, 'PENDING', :session_id, :correlation_id, :username,
  :workspace, :properties, :headers, :retry_of, :start_node, :executor, :admitted, :cold, :key, :started_at);

-- name: insert_payload
-- Keep the payload of a new activation.
insert into payloads (activation_id, body) values (:activation_id, :payload);

-- name: activation
-- One activation.
select * from activations where activation_id = :activation_id;

-- name: activation_of_key
-- The newest activation that was invoked with a key.
select * from activations where project_id = :project_id and key = :key and key <> '' order by rowid desc limit 1;

-- name: activation_payload
-- The payload it was invoked with.
select body from payloads where activation_id = :activation_id;

-- name: pending_activation
-- One row while the activation is PENDING.
select 1 from activations where activation_id = :activation_id and state = 'PENDING';

-- part: listed_activation
-- What a list shows.
activation_id, kind, name, state, cause, started_at, ended_at, admitted

-- part: wanted_activations
-- A page of a filter; null matches all. The key of a list is (started_at, activation_id).
(started_at, activation_id) > (:low_at, :low_id) and (started_at, activation_id) < (:high_at, :high_id)
  and (:state is null or state = :state) and (:kind is null or kind = :kind) and (:name is null or name = :name)
  and (:correlation_id is null or correlation_id = :correlation_id)
  and (:end_before is null or ended_at < :end_before) and (:end_after is null or ended_at > :end_after)

-- name: activations, activations_oldest
-- The newest activations, or the oldest.
select {listed_activation} from activations indexed by activations_by_start
where project_id = :project_id and {wanted_activations}
order by started_at {desc|asc}, activation_id {desc|asc} limit :limit offset :skip;

-- name: activations_in_state, activations_in_state_oldest
-- The same by another index.
select {listed_activation} from activations indexed by activations_by_state
where project_id = :project_id and state = :state and {wanted_activations}
order by started_at {desc|asc}, activation_id {desc|asc} limit :limit offset :skip;

-- name: activations_in_state_count
-- How many there are, if fewer than `most`.
select count(*) as count from (select 1 from activations indexed by activations_by_state
  where project_id = :project_id and state = :state limit :most);

-- name: activations_of_name, activations_of_name_oldest
-- The same of one agent or skill.
select {listed_activation} from activations indexed by activations_by_name
where project_id = :project_id and kind = :kind and name = :name and {wanted_activations}
order by started_at {desc|asc}, activation_id {desc|asc} limit :limit offset :skip;

-- name: activations_of_name_count
-- How many there are, if fewer than `most`.
select count(*) as count from (select 1 from activations indexed by activations_by_name
  where project_id = :project_id and kind = :kind and name = :name limit :most);

-- name: activations_of_correlation, activations_of_correlation_oldest
-- The same of one correlation id, which by default is that of the activation.
select {listed_activation} from activations indexed by activations_by_correlation
where project_id = :project_id and correlation_id = :correlation_id and correlation_id <> activation_id and {wanted_activations}
union all
select {listed_activation} from activations
where activation_id = :correlation_id and correlation_id = activation_id and project_id = :project_id and {wanted_activations}
order by started_at {desc|asc}, activation_id {desc|asc} limit :limit offset :skip;

-- name: activations_of_correlation_count
-- How many there are, if fewer than `most`.
select count(*) as count from (select 1 from activations indexed by activations_by_correlation
  where project_id = :project_id and correlation_id = :correlation_id and correlation_id <> activation_id limit :most);

-- name: activations_that_ended, activations_that_ended_oldest
-- The same of those that ended within some time, if they are few: they have to be sorted.
select {listed_activation} from activations indexed by activations_by_end
where project_id = :project_id and ended_at > coalesce(:end_after, -1) and ended_at < coalesce(:end_before, 9e999)
  and {wanted_activations}
order by started_at {desc|asc}, activation_id {desc|asc} limit :limit offset :skip;

-- name: activations_that_ended_count
-- How many there are, if fewer than `most`.
select count(*) as count from (select 1 from activations indexed by activations_by_end
  where project_id = :project_id and ended_at > coalesce(:end_after, -1) and ended_at < coalesce(:end_before, 9e999) limit :most);

-- name: activations_beginning
-- Those whose id begins with a text.
select {listed_activation} from activations indexed by sqlite_autoindex_activations_1
where activation_id >= :begin and activation_id < :beyond and project_id = :project_id order by activation_id limit :limit;

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
select activation_id from activations indexed by activations_admitted where state = 'PENDING'
union
select activation_id from tasks where state in ('QUEUED', 'STARTING', 'ACTIVE') and activation_id is not null;

-- name: end_activation
-- PENDING to an end; refused when it has ended.
update activations set state = :state, cause = :cause, error = :error, ended_at = :ended_at
where activation_id = :activation_id and state = 'PENDING';

-- name: ask_activation_cancel
-- Asking to cancel sets a flag.
update activations set cancel_requested = 1, cause = :cause where activation_id = :activation_id and state = 'PENDING';
