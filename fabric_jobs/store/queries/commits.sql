-- name: current_attempt
-- The current attempt of a task, with what a commit needs to know.
select task_id, activation_id, node, receives, channel_id, record_offset, attempt, hops, sequence, sender, sender_open, hand, sends, repeated, rejected,
  worker, records
from tasks
where task_id = :task_id and attempt = :attempt and state in ('STARTING', 'ACTIVE') and cancel_requested = 0;

-- name: note_commit
-- The changes that a commit makes to its task.
update tasks set sequence = :sequence, sender = :sender, sender_open = :sender_open, sent = sent + :count, hand = :hand, sends = :sends, repeated = :repeated
where task_id = :task_id;

-- name: open_sender
-- A process of the current attempt reads and sends, and has not closed its sender.
update tasks set sender = :sender, sender_open = 1, sequence = :sequence where task_id = :task_id;

-- name: insert_held
-- Hold outputs until the task exits 0.
insert into held (task_id, output, count, bytes, file_id, at, size, crc)
values (:task_id, :output, :count, :bytes, :file_id, :at, :size, :crc);

-- name: held_of_task
-- Held outputs, in the order in which they were sent.
select held_id, output, count, bytes, f.name, at, h.size, crc from held h left join files f on f.file_id = h.file_id
where h.task_id = :task_id order by held_id;

-- name: delete_held
-- Held outputs were released, or their attempt is over.
delete from held where task_id = :task_id;

-- name: insert_message_key
-- Changes nothing when the key was used before.
insert into message_keys (task_id, key) values (:task_id, :key) on conflict do nothing;

-- name: count_sent
-- Count records that the task committed.
update tasks set sent = sent + :count where task_id = :task_id;

-- name: condemn_task
-- The attempt broke a rule: the task fails with this cause, whatever the exit code.
update tasks set cause = :cause where task_id = :task_id and attempt = :attempt and state in ('STARTING', 'ACTIVE');
