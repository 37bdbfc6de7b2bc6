-- name: expect_letter
-- One more batch for the queue of its job, if the job names one. A queue that was given up gets one more try.
insert into job_queues (activation_id, arn, waiting) select activation_id, queue_arn, 1 from jobs where activation_id = :activation_id and queue_arn <> ''
on conflict (activation_id) do update set waiting = waiting + 1, given_up = 0;

-- name: insert_letter
-- The batch.
insert into queue_letters (activation_id, batch_id, attempts, error, body) values (:activation_id, :batch_id, :attempts, :error, :body);

-- name: queues_due
-- Queues that batches wait for and whose time has come, the longest waiting first.
select q.*, j.api_name from job_queues q indexed by job_queues_open join jobs j using (activation_id)
where q.waiting > 0 and q.given_up = 0 and q.next_at <= :now order by q.next_at limit :limit;

-- name: next_queue
-- When the next one is due that is not yet.
select min(next_at) as next_at from job_queues indexed by job_queues_open where waiting > 0 and given_up = 0 and next_at > :now;

-- name: open_queue
-- One row while batches wait to be sent.
select 1 from job_queues indexed by job_queues_open where waiting > 0 and given_up = 0 limit 1;

-- name: queue_of_job
-- The queue of one job.
select q.*, j.api_name from job_queues q join jobs j using (activation_id) where q.activation_id = :activation_id;

-- name: letters_of_queue
-- The next batches to send to it.
select letter_id, batch_id, attempts, error, body from queue_letters where activation_id = :activation_id order by letter_id limit :limit;

-- name: delete_letter
-- It is in the queue, or will never be.
delete from queue_letters where letter_id = :letter_id;

-- name: count_letters
-- Some batches are in the queue, others will never be.
update job_queues set waiting = waiting - :sent - :refused, sent = sent + :sent, refused = refused + :refused,
  tries = 0, next_at = 0, failure = :failure where activation_id = :activation_id;

-- name: queue_failed
-- Note a failed try.
update job_queues set tries = tries + 1, next_at = :next_at, failure = :failure, given_up = :given_up where activation_id = :activation_id;

-- name: retry_queue
-- Try again at once, with all tries.
update job_queues set tries = 0, next_at = 0, given_up = 0 where activation_id = :activation_id and waiting > 0;
