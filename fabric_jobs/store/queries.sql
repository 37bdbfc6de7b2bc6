-- name: setting
-- The value of one setting.
select value from settings where key = :key;

-- name: put_setting
-- Keep a setting; the last one wins.
insert into settings (key, value) values (:key, :value) on conflict (key) do update set value = excluded.value;

-- name: latest_definition
-- The newest version of a definition.
select * from definitions where project_id = :project_id and kind = :kind and name = :name order by version desc limit 1;

-- name: definition
-- One version of a definition.
select * from definitions where project_id = :project_id and kind = :kind and name = :name and version = :version;

-- name: latest_definitions
-- The newest version of every definition of a kind.
select d.* from definitions d
where d.project_id = :project_id and d.kind = :kind
  and d.version = (select max(version) from definitions x where x.project_id = d.project_id and x.kind = d.kind and x.name = d.name)
order by d.name;

-- name: insert_definition
-- Keep a new version.
insert into definitions (project_id, kind, name, version, hash, body, source, saved_at)
values (:project_id, :kind, :name, :version, :hash, :body, :source, :saved_at);

-- name: insert_activation
-- PENDING from the start.
insert into activations (activation_id, project_id, kind, name, entry, pins, state, session_id, correlation_id, username,
  workspace, payload, properties, headers, retry_of, started_at)
values (:activation_id, :project_id, :kind, :name, :entry, :pins, 'PENDING', :session_id, :correlation_id, :username,
  :workspace, :payload, :properties, :headers, :retry_of, :started_at);

-- name: activation
-- One activation.
select * from activations where activation_id = :activation_id;

-- name: pending_activation
-- Is it still running?
select 1 from activations where activation_id = :activation_id and state = 'PENDING';

-- name: activations
-- The newest activations, filtered; null takes all.
select * from activations
where project_id = :project_id
  and (:state is null or state = :state)
  and (:agent is null or (kind = 'agent' and name = :agent))
  and (:skill is null or (kind = 'skill' and name = :skill))
  and (:correlation_id is null or correlation_id = :correlation_id)
order by started_at desc, activation_id limit :limit offset :skip;

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

-- name: insert_channel
-- An empty log.
insert into channels (project_id, activation_id, wire, sending_id, output, node)
values (:project_id, :activation_id, :wire, :sending_id, :output, :node);

-- name: channel
-- One channel.
select * from channels where channel_id = :channel_id;

-- name: channels_of_activation
-- All channels of an activation in the order of the plan's wires.
select * from channels where activation_id = :activation_id order by wire;

-- name: channels_of_output
-- Where the records of one output go.
select * from channels where activation_id = :activation_id and sending_id = :sending_id and output = :output order by wire;

-- name: inbound_channels
-- What one node consumes.
select * from channels where activation_id = :activation_id and node = :node order by wire;

-- name: inbound_of_attempt
-- What an attempt consumes; nothing when it may not speak for its task.
select c.* from tasks t join channels c on c.activation_id = t.activation_id and c.node = t.node
where t.task_id = :task_id and t.attempt = :attempt and t.state in ('STARTING', 'ACTIVE') and t.cancel_requested = 0
order by c.wire;

-- name: advance_channel
-- Records were appended.
update channels set next_offset = next_offset + :count, size = size + :size where channel_id = :channel_id;

-- name: drop_records
-- Records came after the consumer had closed.
update channels set dropped = dropped + :count where channel_id = :channel_id;

-- name: ack_channel
-- Every record below is finished; an ack never goes back nor past the end.
update channels set acked = :acked where channel_id = :channel_id and acked < :acked and :acked <= next_offset;

-- name: ack_message_tasks
-- The ack of a channel that feeds message tasks: the lowest record still in work, else all that was dispatched.
update channels set acked = coalesce(
  (select min(record_offset) from tasks where tasks.channel_id = channels.channel_id and state in ('QUEUED', 'STARTING', 'ACTIVE')),
  dispatched)
where channel_id = :channel_id;

-- name: dispatch_channel
-- A task row was made for every record below.
update channels set dispatched = :dispatched where channel_id = :channel_id and dispatched < :dispatched;

-- name: end_channel
-- No record can come any more.
update channels set ended = 1 where channel_id = :channel_id and ended = 0;

-- name: close_inbound
-- The consumer is through: what it left is finished, what still comes is dropped.
update channels set closed = 1, acked = next_offset where activation_id = :activation_id and node = :node;

-- name: insert_segment
-- Records as they came.
insert into segments (channel_id, first_offset, count, hops, bytes) values (:channel_id, :first_offset, :count, :hops, :bytes);

-- name: segments_from
-- The segments that hold an offset and what follows it.
select first_offset, count, bytes from segments
where channel_id = :channel_id
  and first_offset >= coalesce((select max(first_offset) from segments where channel_id = :channel_id and first_offset <= :offset), 0)
order by first_offset limit :limit;

-- name: segment_sizes
-- Ends and sizes of the segments that are not wholly consumed, for the credit of a sender.
select first_offset + count as end_offset, length(bytes) as size from segments
where channel_id = :channel_id and first_offset + count > :offset order by first_offset;

-- name: delete_consumed
-- Segments that no replay can need any more.
delete from segments where channel_id = :channel_id and first_offset < :acked and first_offset + count <= :acked;

-- name: insert_task
-- QUEUED from the start.
insert into tasks (project_id, name, activation_id, node, skill_name, action_name, receives, channel_id, record_offset, state, created_at)
values (:project_id, :name, :activation_id, :node, :skill_name, :action_name, :receives, :channel_id, :record_offset, 'QUEUED', :created_at);

-- name: task
-- One task.
select * from tasks where task_id = :task_id;

-- name: task_by_name
-- One task by its name.
select * from tasks where project_id = :project_id and name = :name;

-- name: tasks
-- The newest tasks, filtered; null takes all.
select * from tasks
where project_id = :project_id
  and (:activation_id is null or activation_id = :activation_id)
  and (:skill_name is null or skill_name = :skill_name)
  and (:state is null or state = :state)
order by task_id desc limit :limit offset :skip;

-- name: live_tasks
-- The tasks of an activation that have not ended.
select * from tasks where activation_id = :activation_id and state in ('QUEUED', 'STARTING', 'ACTIVE') order by task_id;

-- name: stream_tasks
-- The stream tasks of an activation, ended ones too.
select * from tasks where activation_id = :activation_id and receives = 'stream' order by task_id;

-- name: task_counts
-- How many tasks of each node are in each state.
select node, state, count(*) as count from tasks where activation_id = :activation_id group by node, state;

-- name: sent_by_node
-- How many records the tasks of each node committed.
select node, sum(sent) as sent from tasks where activation_id = :activation_id group by node;

-- name: live_task_count
-- Is anything under way?
select count(*) as count from tasks where state in ('QUEUED', 'STARTING', 'ACTIVE');

-- name: busy_slots
-- Message tasks that hold a worker slot.
select count(*) as count from tasks where state in ('STARTING', 'ACTIVE') and receives = 'message';

-- name: start_task
-- QUEUED to STARTING, with a new attempt; refused when somebody wants it to end.
update tasks set state = 'STARTING', attempt = attempt + 1, cause = '', sequence = 0, repeated = '{}', started_at = coalesce(started_at, :at)
where task_id = :task_id and state = 'QUEUED' and cancel_requested = 0;

-- name: activate_task
-- STARTING to ACTIVE.
update tasks set state = 'ACTIVE' where task_id = :task_id and attempt = :attempt and state = 'STARTING';

-- name: requeue_task
-- STARTING or ACTIVE back to QUEUED, since its attempt ended and tries are left.
update tasks set state = 'QUEUED', lost = lost + :lost, failures = failures + :failures, not_before_at = :not_before_at, cause = :cause
where task_id = :task_id and attempt = :attempt and state in ('STARTING', 'ACTIVE');

-- name: end_task
-- To an end: COMPLETE, FAILED, CANCELLED or TIMEOUT; what never ran can only fail or be cancelled.
update tasks set state = :state, cause = :cause, exit_code = :exit_code, ended_at = :ended_at
where task_id = :task_id and attempt = :attempt
  and (state in ('STARTING', 'ACTIVE') or (state = 'QUEUED' and :state in ('FAILED', 'CANCELLED')));

-- name: ask_task_cancel
-- The wish to cancel is a flag.
update tasks set cancel_requested = 1, cause = :cause
where task_id = :task_id and cancel_requested = 0 and state in ('QUEUED', 'STARTING', 'ACTIVE');

-- name: ask_cancel_of_live_tasks
-- The activation ends; what still runs in it is to stop.
update tasks set cancel_requested = 1, cause = :cause
where activation_id = :activation_id and cancel_requested = 0 and state in ('QUEUED', 'STARTING', 'ACTIVE');

-- name: condemn_task
-- The attempt broke a rule; it fails with this cause however it exits.
update tasks set cause = :cause where task_id = :task_id and attempt = :attempt and state in ('STARTING', 'ACTIVE');

-- name: count_sent
-- The task committed records.
update tasks set sent = sent + :count where task_id = :task_id;

-- name: insert_attempt
-- One try of a task.
insert into attempts (task_id, attempt, executor, started_at) values (:task_id, :attempt, :executor, :started_at);

-- name: set_handle
-- The executor accepted it.
update attempts set handle = :handle where task_id = :task_id and attempt = :attempt;

-- name: end_attempt
-- How it ended.
update attempts set ended_at = :ended_at, exit_code = :exit_code, reason = :reason
where task_id = :task_id and attempt = :attempt and ended_at is null;

-- name: attempt
-- One attempt.
select * from attempts where task_id = :task_id and attempt = :attempt;

-- name: attempts_of_task
-- All tries of a task.
select * from attempts where task_id = :task_id order by attempt;

-- name: current_attempt
-- The attempt that may speak for a task, with what a commit needs to know.
select task_id, activation_id, node, sequence, hand, sends, repeated from tasks
where task_id = :task_id and attempt = :attempt and state in ('STARTING', 'ACTIVE') and cancel_requested = 0;

-- name: note_commit
-- What a commit changes of its task.
update tasks set sequence = :sequence, sent = sent + :count, hand = :hand, sends = :sends, repeated = :repeated
where task_id = :task_id;

-- name: insert_held
-- Outputs that wait for the task's exit 0.
insert into held (task_id, output, count, bytes) values (:task_id, :output, :count, :bytes);

-- name: held_of_task
-- In the order in which they were sent.
select held_id, output, count, bytes from held where task_id = :task_id order by held_id;

-- name: delete_held
-- Released, or the attempt that sent them is over.
delete from held where task_id = :task_id;

-- name: insert_message_key
-- Refused when the key was used before.
insert into message_keys (task_id, key) values (:task_id, :key) on conflict do nothing;

-- name: insert_event
-- Each move leaves one.
insert into events (project_id, activation_id, task_id, kind, body, at) values (:project_id, :activation_id, :task_id, :kind, :body, :at);

-- name: events_after
-- What happened after a number.
select * from events where number > :after and project_id = :project_id and (:activation_id is null or activation_id = :activation_id)
order by number limit :limit;
