-- name: batch
-- What is known of a batch that deviates.
select * from batches where channel_id = :channel_id and first_offset = :first_offset;

-- name: put_batch
-- An attempt at a batch has ended.
insert into batches (channel_id, first_offset, next_offset, attempts, lost, state, not_before, error, task_id, seconds, ended_at)
values (:channel_id, :first_offset, :next_offset, :attempts, :lost, :state, :not_before, :error, :task_id, :seconds, :ended_at)
on conflict (channel_id, first_offset) do update set attempts = excluded.attempts, lost = excluded.lost, state = excluded.state,
  not_before = excluded.not_before, error = excluded.error, task_id = excluded.task_id, seconds = excluded.seconds, ended_at = excluded.ended_at;

-- name: batches_of_activation
-- The batches of an activation that deviate; null matches all states.
select b.*, c.node from batches b join channels c using (channel_id)
where c.activation_id = :activation_id and (:state is null or b.state = :state) and (b.channel_id, b.first_offset) > (:channel_id, :after)
order by b.channel_id, b.first_offset limit :limit;

-- name: next_due_batch
-- When the next batch that waits may be handed out.
select min(not_before) as at from batches b join channels c using (channel_id)
where c.activation_id = :activation_id and b.state = 'waiting' and b.not_before > :now;

-- name: free_batches
-- What was given back, with what is known of it, of one channel.
select l.first_offset, l.next_offset, coalesce(b.attempts, 0) as attempts, coalesce(b.lost, 0) as lost
from leases l left join batches b using (channel_id, first_offset)
where l.channel_id = :channel_id and l.task_id is null and coalesce(b.not_before, 0) <= :now order by l.first_offset limit :limit;

-- name: count_batches
-- Attempts of a node have ended.
insert into batch_counts (activation_id, node, succeeded, failed, dead, seconds) values (:activation_id, :node, :succeeded, :failed, :dead, :seconds)
on conflict (activation_id, node) do update set succeeded = succeeded + excluded.succeeded, failed = failed + excluded.failed,
  dead = dead + excluded.dead, seconds = seconds + excluded.seconds;

-- name: batch_counts_of_node
-- The counts of one node.
select * from batch_counts where activation_id = :activation_id and node = :node;

-- name: claim_completion
-- A worker calls on-job-complete; refused when another one does.
update batch_counts set completing = :task_id where activation_id = :activation_id and node = :node and completed = ''
  and coalesce(completing, :task_id) = :task_id;

-- name: note_completion
-- What came of on-job-complete.
update batch_counts set completed = :completed where activation_id = :activation_id and node = :node and completing = :task_id and completed = '';

-- name: worker_ready
-- The current attempt of a worker begins to handle batches.
insert into workers (task_id, attempt, ready_at) values (:task_id, :attempt, :ready_at)
on conflict (task_id) do update set attempt = excluded.attempt, ready_at = excluded.ready_at, finished = 0 where attempt <> excluded.attempt;

-- name: worker_finished
-- The current attempt of a worker has finished batches.
update workers set finished = finished + :count where task_id = :task_id;

-- name: worker
-- What is known of a worker.
select * from workers where task_id = :task_id;

-- name: workers_of_activation
-- The workers of an activation that are or were ready.
select w.* from workers w join tasks t using (task_id) where t.activation_id = :activation_id order by w.task_id;
