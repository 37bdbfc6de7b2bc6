-- name: insert_channel
-- Insert an empty channel.
insert into channels (project_id, activation_id, wire, sending_id, output, node, conditions, exempt)
values (:project_id, :activation_id, :wire, :sending_id, :output, :node, :conditions, :exempt);

-- name: channel
-- One channel.
select * from channels where channel_id = :channel_id;

-- name: channels_of_activation
-- All channels of an activation in the order of the plan's wires.
select * from channels where activation_id = :activation_id order by wire;

-- name: channels_of_output
-- The channels that take the records of one output.
select * from channels where activation_id = :activation_id and sending_id = :sending_id and output = :output order by wire;

-- name: inbound_channels
-- The channels that one node consumes.
select * from channels where activation_id = :activation_id and node = :node order by wire;

-- name: inbound_of_attempt
-- The channels that an attempt consumes; none when it is not the current one.
select c.* from tasks t join channels c on c.activation_id = t.activation_id and c.node = t.node
where t.task_id = :task_id and t.attempt = :attempt and t.state in ('STARTING', 'ACTIVE') and t.cancel_requested = 0
order by c.wire;

-- name: advance_channel
-- Count appended records.
update channels set next_offset = next_offset + :count, size = size + :size where channel_id = :channel_id;

-- name: drop_records
-- Count records that came after the consumer had closed.
update channels set dropped = dropped + :count where channel_id = :channel_id;

-- name: ack_channel
-- Every record below is finished; an ack never goes back, nor beyond the end.
update channels set acked = :acked where channel_id = :channel_id and acked < :acked and :acked <= next_offset;

-- name: ack_message_tasks
-- Ack a channel of message tasks up to its lowest unfinished record, else up to all that have a task.
update channels set acked = coalesce(
  (select min(record_offset) from tasks where tasks.channel_id = channels.channel_id and state in ('QUEUED', 'STARTING', 'ACTIVE')),
  dispatched)
where channel_id = :channel_id;

-- name: dispatch_channel
-- Every record below has a task.
update channels set dispatched = :dispatched where channel_id = :channel_id and dispatched = :first;

-- name: end_channel
-- No record can be appended any more.
update channels set ended = 1 where channel_id = :channel_id and ended = 0;

-- name: close_inbound
-- The consumer is done: unread records count as finished, and new ones are dropped.
update channels set closed = 1, acked = next_offset where activation_id = :activation_id and node = :node;

-- name: insert_segment
-- Store records as they came.
insert into segments (channel_id, first_offset, count, hops, bytes, file_id, at, size, crc)
values (:channel_id, :first_offset, :count, :hops, :bytes, :file_id, :at, :size, :crc);

-- name: segments_from
-- The segment that holds an offset, and those after it.
select first_offset, count, bytes, f.name, at, s.size, crc from segments s left join files f on f.file_id = s.file_id
where channel_id = :channel_id
  and first_offset >= coalesce((select max(first_offset) from segments where channel_id = :channel_id and first_offset <= :offset), 0)
order by first_offset limit :limit;

-- name: hops_of_record
-- How many mappings a record has passed.
select hops from segments where channel_id = :channel_id and first_offset <= :offset order by first_offset desc limit 1;

-- name: insert_lineage
-- The origins of the records of one commit.
insert into lineage (channel_id, first_offset, count, task_id, parents) values (:channel_id, :first_offset, :count, :task_id, :parents);

-- name: lineage_of_record
-- The row with the origin of a record, if there is one.
select * from lineage where channel_id = :channel_id and first_offset <= :offset order by first_offset desc limit 1;

-- name: lineage_of_channel
-- All known origins of a channel's records, one page at a time.
select * from lineage where channel_id = :channel_id and first_offset >= :offset order by first_offset limit :limit;

-- name: close_join
-- A join was delivered: its input is finished.
update channels set closed = 1, acked = next_offset where channel_id = :channel_id;

-- name: segment_sizes
-- Ends and sizes of the segments that are not fully consumed, for a sender's credit.
select first_offset + count as end_offset, coalesce(size, length(bytes)) as size from segments
where channel_id = :channel_id and first_offset + count > :offset order by first_offset;

-- name: delete_consumed
-- Delete segments that no replay can need.
delete from segments where channel_id = :channel_id and first_offset < :acked and first_offset + count <= :acked;
