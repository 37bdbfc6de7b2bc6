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

-- name: end_channel
-- No record can be appended any more.
update channels set ended = 1 where channel_id = :channel_id and ended = 0;

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

-- name: hops_of_records
-- The most mappings that any of some records has passed.
select max(hops) as hops from segments where channel_id = :channel_id and first_offset < :next_offset
  and first_offset >= coalesce((select max(first_offset) from segments where channel_id = :channel_id and first_offset <= :first_offset), 0);

-- name: insert_lineage
-- The origins of the records of one commit.
insert into lineage (channel_id, first_offset, count, task_id, parents) values (:channel_id, :first_offset, :count, :task_id, :parents);

-- name: lineage_of_record
-- The row with the origin of a record, if there is one.
select * from lineage where channel_id = :channel_id and first_offset <= :offset order by first_offset desc limit 1;

-- name: lineage_of_channel
-- All known origins of a channel's records, one page at a time.
select * from lineage where channel_id = :channel_id and first_offset >= :offset order by first_offset limit :limit;

-- name: segment_sizes
-- Ends and sizes of the segments that are not fully consumed, for a sender's credit.
select first_offset + count as end_offset, coalesce(size, length(bytes)) as size from segments
where channel_id = :channel_id and first_offset + count > :offset order by first_offset;
