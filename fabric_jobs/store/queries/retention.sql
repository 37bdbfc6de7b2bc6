-- name: prunable_activations
-- Ended activations with nothing alive, no callback to deliver and no batch to send, oldest first; `dead_letters` 0 leaves out those with dead letters that nobody retried.
select activation_id, kind, name, state, ended_at from activations
where project_id = :project_id and state <> 'PENDING'
  and not exists (select 1 from tasks t
    where t.activation_id = activations.activation_id and t.state in ('QUEUED', 'STARTING', 'ACTIVE'))
  and not exists (select 1 from callbacks b where b.activation_id = activations.activation_id and b.given_up = 0)
  and not exists (select 1 from job_queues q where q.activation_id = activations.activation_id and q.waiting > 0 and q.given_up = 0)
  and (:dead_letters or not exists (select 1 from channels c join dead_letters d on d.channel_id = c.channel_id
    where c.activation_id = activations.activation_id and d.retried_as is null))
  and activation_id not in (
    select activation_id from tasks where task_id = (select max(task_id) from tasks) and activation_id is not null
    union all select activation_id from channels where channel_id = (select max(channel_id) from channels)
    union all select activation_id from dead_letters where dead_letter_id = (select max(dead_letter_id) from dead_letters))
order by ended_at, activation_id;

-- name: newest_ended_activations
-- The activations that ended last.
select activation_id from activations where project_id = :project_id and state <> 'PENDING'
order by ended_at desc, activation_id desc limit :limit;

-- name: hide_activation
-- Take an activation out of its project, so that no list or route shows it; refused unless it is prunable, as above.
update activations set project_id = ''
where activation_id = :activation_id and project_id = :project_id and state <> 'PENDING'
  and not exists (select 1 from tasks t
    where t.activation_id = activations.activation_id and t.state in ('QUEUED', 'STARTING', 'ACTIVE'))
  and not exists (select 1 from callbacks b where b.activation_id = activations.activation_id and b.given_up = 0)
  and not exists (select 1 from job_queues q where q.activation_id = activations.activation_id and q.waiting > 0 and q.given_up = 0)
  and (:dead_letters or not exists (select 1 from channels c join dead_letters d on d.channel_id = c.channel_id
    where c.activation_id = activations.activation_id and d.retried_as is null))
  and activation_id not in (
    select activation_id from tasks where task_id = (select max(task_id) from tasks) and activation_id is not null
    union all select activation_id from channels where channel_id = (select max(channel_id) from channels)
    union all select activation_id from dead_letters where dead_letter_id = (select max(dead_letter_id) from dead_letters));

-- name: hidden_activations
-- The activations being pruned.
select activation_id from activations where project_id = '' limit :limit;

-- name: attempt_places
-- Where the attempts of an activation are.
select t.name, a.attempt, a.executor, a.handle from tasks t join attempts a on a.task_id = t.task_id
where t.activation_id = :activation_id;

-- name: prune_segments
-- Delete some segments of an activation: at most `limit`, and about `size` bytes.
delete from segments where (channel_id, first_offset) in (
  select channel_id, first_offset from (
    select channel_id, first_offset, sum(size) over (order by channel_id, first_offset) - size as before from (
      select s.channel_id, s.first_offset, coalesce(s.size, length(s.bytes)) as size from channels c join segments s on s.channel_id = c.channel_id
      where c.activation_id = :activation_id limit :limit))
  where before < :size);

-- name: prune_lineage
-- Delete some origins of records.
delete from lineage where (channel_id, first_offset) in (
  select l.channel_id, l.first_offset from channels c join lineage l on l.channel_id = c.channel_id
  where c.activation_id = :activation_id limit :limit);

-- name: prune_leases
-- Delete some leases.
delete from leases where (channel_id, first_offset) in (
  select l.channel_id, l.first_offset from channels c join leases l on l.channel_id = c.channel_id
  where c.activation_id = :activation_id limit :limit);

-- name: prune_finished
-- Delete some finished ranges.
delete from finished where (channel_id, first_offset) in (
  select f.channel_id, f.first_offset from channels c join finished f on f.channel_id = c.channel_id
  where c.activation_id = :activation_id limit :limit);

-- name: prune_batches
-- Delete some batches that deviated.
delete from batches where (channel_id, first_offset) in (
  select b.channel_id, b.first_offset from channels c join batches b on b.channel_id = c.channel_id
  where c.activation_id = :activation_id limit :limit);

-- name: prune_batch_counts
-- Delete the counts of batches.
delete from batch_counts where activation_id = :activation_id;

-- name: prune_workers
-- Delete what is known of workers.
delete from workers where task_id in (select task_id from tasks where activation_id = :activation_id);

-- name: prune_held
-- Delete some held outputs.
delete from held where held_id in (
  select h.held_id from tasks t join held h on h.task_id = t.task_id where t.activation_id = :activation_id limit :limit);

-- name: prune_message_keys
-- Delete some idempotency keys.
delete from message_keys where (task_id, key) in (
  select k.task_id, k.key from tasks t join message_keys k on k.task_id = t.task_id
  where t.activation_id = :activation_id limit :limit);

-- name: prune_attempts
-- Delete some attempts.
delete from attempts where (task_id, attempt) in (
  select a.task_id, a.attempt from tasks t join attempts a on a.task_id = t.task_id
  where t.activation_id = :activation_id limit :limit);

-- name: prune_events
-- Delete some events.
delete from events where number in (select number from events where activation_id = :activation_id limit :limit);

-- name: prune_dead_letters
-- Delete some dead letters.
delete from dead_letters where dead_letter_id in (
  select d.dead_letter_id from channels c join dead_letters d on d.channel_id = c.channel_id
  where c.activation_id = :activation_id limit :limit);

-- name: prune_tasks
-- Delete some tasks.
delete from tasks where task_id in (select task_id from tasks where activation_id = :activation_id limit :limit);

-- name: prune_task_totals
-- Delete the totals of its tasks.
delete from task_totals where activation_id = :activation_id;

-- name: prune_channels
-- Delete some channels.
delete from channels where channel_id in (
  select channel_id from channels where activation_id = :activation_id limit :limit);

-- name: prune_callbacks
-- Delete its callback, which was given up.
delete from callbacks where activation_id = :activation_id;

-- name: prune_queue_letters
-- Delete some batches that could not be sent.
delete from queue_letters where letter_id in (select letter_id from queue_letters where activation_id = :activation_id limit :limit);

-- name: prune_job_queues
-- Delete the queue that it names.
delete from job_queues where activation_id = :activation_id;

-- name: prune_payloads
-- Delete the payload.
delete from payloads where activation_id = :activation_id;

-- name: prune_jobs
-- Delete the job that it is.
delete from jobs where activation_id = :activation_id;

-- name: prune_activations
-- Delete the activation itself, once nothing refers to it.
delete from activations where activation_id = :activation_id and project_id = '';

-- name: database_pages
-- The size of the database and its free part.
select (select page_count from pragma_page_count) as pages, (select freelist_count from pragma_freelist_count) as free,
  (select page_size from pragma_page_size) as page_size;

-- name: row_counts
-- The counts that people ask for.
select
  (select count(*) from activations) as activations,
  (select count(*) from activations indexed by activations_admitted where state = 'PENDING') as pending,
  (select count(*) from tasks) as tasks,
  (select count(*) from attempts) as attempts,
  (select count(*) from channels) as channels,
  (select coalesce(sum(next_offset), 0) from channels) as records,
  (select count(*) from dead_letters) as dead_letters,
  (select count(*) from events) as events;

-- name: activation_bytes
-- Approximate bytes of each activation in the database: records, payload, events, held outputs and dead letters.
select activation_id, sum(size) as size from (
  select activation_id, length(body) as size from payloads
  union all select c.activation_id, length(s.bytes) from segments s join channels c on c.channel_id = s.channel_id
  union all select t.activation_id, length(h.bytes) from held h join tasks t on t.task_id = h.task_id
  union all select activation_id, length(body) from dead_letters
  union all select activation_id, length(body) from events where activation_id is not null)
where activation_id is not null group by activation_id;

-- name: activation_file_bytes
-- Bytes of each activation in files; those shared by several channels count once.
select activation_id, sum(size) as size from (
  select c.activation_id, s.file_id, s.at, s.size from segments s join channels c on c.channel_id = s.channel_id
    where s.file_id is not null
  union select t.activation_id, h.file_id, h.at, h.size from held h join tasks t on t.task_id = h.task_id
    where h.file_id is not null)
group by activation_id;

-- name: all_attempt_places
-- Where the attempts of all activations are.
select t.activation_id, t.name, a.attempt, a.executor, a.handle from attempts a join tasks t on t.task_id = a.task_id
where t.activation_id is not null;

-- name: activation_names
-- The name and state of every activation.
select activation_id, kind, name, state, ended_at from activations;
