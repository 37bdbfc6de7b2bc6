-- name: check_pages
-- What SQLite finds wrong with its pages and indexes; one row `ok` when there is nothing.
select integrity_check as problem from pragma_integrity_check;

-- name: check_pages_quickly
-- The same, without comparing indexes with their tables.
select quick_check as problem from pragma_quick_check;

-- name: check_references
-- Rows that refer to missing rows.
select "table" as name, rowid as number, parent from pragma_foreign_key_check;

-- name: schema_version
-- How many migrations this database has had.
select user_version as version from pragma_user_version;

-- name: journal_mode
-- `wal` where the file system allows it.
select journal_mode as mode from pragma_journal_mode;

-- name: audited_channels
-- All channels except those being pruned.
select c.channel_id, c.activation_id, c.node, c.next_offset, c.size, c.acked, c.ahead, c.dispatched, c.dropped, c.closed, a.state,
  exists (select 1 from leases l where l.channel_id = c.channel_id and l.next_offset is null) as opens
from channels c join activations a on a.activation_id = c.activation_id where a.project_id <> '' order by c.channel_id;

-- name: audited_segments
-- The segments of a channel, with their records.
select first_offset, count, bytes, f.name, at, s.size, crc from segments s left join files f on f.file_id = s.file_id
where channel_id = :channel_id order by first_offset;

-- name: audited_held
-- Outputs held until their task ends.
select t.name as task, h.count, h.bytes, f.name, h.at, h.size, h.crc
from held h join tasks t on t.task_id = h.task_id left join files f on f.file_id = h.file_id order by h.held_id;

-- name: wrong_files
-- Files whose count of references differs from the rows that refer to them.
select f.name, f.refs, coalesce(r.found, 0) as found from files f left join (
  select file_id, count(*) as found from (
    select file_id from segments where file_id is not null union all select file_id from held where file_id is not null)
  group by file_id) r on r.file_id = f.file_id
where f.refs <> coalesce(r.found, 0) order by f.name;

-- name: ranges_by_channel
-- The records of each channel that a task holds, or that are finished although an earlier one is not.
select channel_id, sum(next_offset - first_offset) as count, min(first_offset) as low, max(next_offset) as high from (
  select channel_id, first_offset, next_offset from leases where next_offset is not null
  union all select channel_id, first_offset, next_offset from finished) group by channel_id;

-- name: complete_without_exit
-- COMPLETE tasks whose exit code is not 0.
select name from tasks where kind = 'job' and state = 'COMPLETE' and (exit_code is null or exit_code <> 0) order by task_id;

-- name: ended_without_time
-- Ended ones without an end time, and live ones with one.
select 'task' as kind, name from tasks
where (state in ('COMPLETE', 'FAILED', 'CANCELLED', 'TIMEOUT')) <> (ended_at is not null)
union all
select 'activation', activation_id from activations where (state <> 'PENDING') <> (ended_at is not null);

-- name: live_in_ended
-- Live tasks of an ended activation that nobody has told to stop.
select t.name, a.activation_id, a.state from tasks t join activations a on a.activation_id = t.activation_id
where t.state in ('QUEUED', 'STARTING', 'ACTIVE') and t.cancel_requested = 0 and a.state <> 'PENDING' order by t.task_id;

-- name: attempt_missing
-- Tasks whose current attempt has no row.
select t.name, t.attempt from tasks t join activations a on a.activation_id = t.activation_id
where a.project_id <> '' and t.attempt > 0
  and not exists (select 1 from attempts x where x.task_id = t.task_id and x.attempt = t.attempt) order by t.task_id;

-- name: wrong_totals
-- Stored totals of ended tasks, or of dead records, that differ from the rows.
select what, name from (
  select 'activation' as what, activation_id as name, node, state, count - trimmed as count, sent - trimmed_sent as sent from task_totals
  union all
  select 'activation', activation_id, node, state, -count(*), -sum(sent) from tasks
  where activation_id is not null and state not in ('QUEUED', 'STARTING', 'ACTIVE') group by activation_id, node, state
) where name in (select activation_id from activations where project_id <> '')
group by what, name, node, state having sum(count) <> 0 or sum(sent) <> 0
union all
select 'channel', c.channel_id from channels c join activations a on a.activation_id = c.activation_id
where a.project_id <> '' and c.ahead <> (select coalesce(sum(next_offset - first_offset), 0) from finished f where f.channel_id = c.channel_id)
union all
select 'channel', c.channel_id from channels c join activations a on a.activation_id = c.activation_id
where a.project_id <> '' and c.dead <> (select count(*) from dead_letters d where d.channel_id = c.channel_id);

-- name: attempt_names
-- The directory name of every attempt: its handle, once it has one.
select a.handle, t.name || '-' || a.attempt as name from attempts a join tasks t on t.task_id = a.task_id;
