-- name: uneventful_tasks
-- The tasks of a node that were COMPLETE at once, all but the newest.
select task_id, name, sent from tasks
where activation_id = :activation_id and node = :node and kind = 'job' and receives <> 'stream' and state = 'COMPLETE'
  and attempt = 1 and lost = 0 and tried = 0 and rejected = ''
order by task_id desc limit -1 offset :kept;

-- name: trim_message_keys
-- Delete the idempotency keys of a task.
delete from message_keys where task_id = :task_id;

-- name: trim_attempts
-- Delete the attempts of a task.
delete from attempts where task_id = :task_id;

-- name: trim_events
-- Delete the events of tasks up to one, of those that are gone.
delete from events where activation_id = :activation_id and task_id is not null and task_id <= :task_id
  and not exists (select 1 from tasks where tasks.task_id = events.task_id);

-- name: trim_task
-- Delete a task that was COMPLETE at once.
delete from tasks where task_id = :task_id and state = 'COMPLETE';

-- name: count_trimmed
-- The totals stay.
update task_totals set trimmed = trimmed + :count, trimmed_sent = trimmed_sent + :sent
where activation_id = :activation_id and node = :node and state = 'COMPLETE';
