-- name: extend_leases
-- A task is at work on what it holds.
update leases set expires_at = :expires_at where task_id = :task_id and next_offset is not null;

-- name: expired_leases
-- What a task was to finish by now, of one channel.
select channel_id, first_offset, next_offset, turn, at_end, task_id from leases
where channel_id = :channel_id and expires_at <= :now and task_id is not null order by first_offset;

-- name: take_records
-- Every record below is taken, or finished.
update channels set dispatched = :next_offset where channel_id = :channel_id and dispatched = :first_offset and :next_offset <= next_offset;

-- name: insert_lease
-- A task holds records.
insert into leases (channel_id, first_offset, next_offset, task_id, turn, at_end)
values (:channel_id, :first_offset, :next_offset, :task_id, :turn, :at_end);

-- name: leases_of_task
-- What a task holds, in the order in which it works on it.
select channel_id, first_offset, next_offset, turn, at_end from leases where task_id = :task_id order by turn, channel_id, first_offset;

-- name: free_leases
-- What was given back, of one channel.
select channel_id, first_offset, next_offset, turn, at_end from leases
where channel_id = :channel_id and task_id is null order by first_offset limit :limit;

-- name: readers_of_channel
-- The tasks that read records which they do not keep whatever they do: an attempt that has asked for some has a sender.
select distinct leases.task_id from leases join tasks on tasks.task_id = leases.task_id
where leases.channel_id = :channel_id and leases.next_offset is not null and at_end = 0
  and tasks.state in ('STARTING', 'ACTIVE') and tasks.sender <> '';

-- name: hold_lease
-- A task takes what was given back.
update leases set task_id = :task_id, turn = :turn, at_end = :at_end
where channel_id = :channel_id and first_offset = :first_offset and task_id is null;

-- name: free_task_leases
-- A task gives back what it has not finished.
update leases set task_id = null, turn = 0, at_end = 0, expires_at = null where task_id = :task_id and next_offset is not null;

-- name: free_lease
-- A task gives back one range.
update leases set task_id = null, turn = 0, at_end = 0, expires_at = null
where task_id = :task_id and channel_id = :channel_id and first_offset = :first_offset and next_offset is not null;

-- name: cut_lease
-- A task holds less than before.
update leases set next_offset = :next_offset where channel_id = :channel_id and first_offset = :first_offset;

-- name: delete_lease
-- A range is finished, or replaced.
delete from leases where channel_id = :channel_id and first_offset = :first_offset;

-- name: delete_open_leases
-- A task that takes whatever comes has ended.
delete from leases where task_id = :task_id and next_offset is null;

-- name: delete_channel_leases
-- The consumer is done.
delete from leases where channel_id = :channel_id;

-- name: ack_channel
-- Every record below is finished; an ack never goes back, nor beyond the end.
update channels set acked = :acked where channel_id = :channel_id and acked < :acked and :acked <= next_offset;

-- name: finished_around
-- The finished ranges that touch a range.
select first_offset, next_offset from finished
where channel_id = :channel_id and first_offset <= :next_offset and next_offset >= :first_offset order by first_offset;

-- name: finished_above
-- All finished ranges of a channel.
select first_offset, next_offset from finished where channel_id = :channel_id order by first_offset;

-- name: count_ahead
-- How many records are finished although an earlier one is not.
update channels set ahead = ahead + :change where channel_id = :channel_id;

-- name: insert_finished
-- A range is finished although an earlier record is not.
insert into finished (channel_id, first_offset, next_offset) values (:channel_id, :first_offset, :next_offset);

-- name: delete_finished
-- A finished range was merged into another, or into all that is finished.
delete from finished where channel_id = :channel_id and first_offset = :first_offset;

-- name: delete_channel_finished
-- The consumer is done.
delete from finished where channel_id = :channel_id;

-- name: close_channel
-- The consumer is done: unread records count as finished, and new ones are dropped.
update channels set closed = 1, acked = next_offset, ahead = 0 where channel_id = :channel_id;

-- name: delete_consumed
-- Delete segments that no replay can need.
delete from segments where channel_id = :channel_id and first_offset < :acked and first_offset + count <= :acked;
