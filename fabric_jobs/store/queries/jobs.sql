-- name: insert_job
-- A new job.
insert into jobs (activation_id, project_id, api_name, kind, api_version, workers, batch_size, config, timeout, batch_timeout, queue_arn,
  max_receive_count, source, position, submitted_at)
values (:activation_id, :project_id, :api_name, :kind, :api_version, :workers, :batch_size, :config, :timeout, :batch_timeout, :queue_arn,
  :max_receive_count, :source, :position, :submitted_at);

-- name: job
-- One job.
select * from jobs where activation_id = :activation_id;

-- name: job_timing
-- When a job was submitted, and how long it may take; no row: the activation is no job.
select submitted_at, timeout from jobs where activation_id = :activation_id;

-- name: enumerating_jobs
-- Jobs whose enumerator is not done, oldest first.
select j.* from jobs j indexed by jobs_enumerating join activations a using (activation_id)
where j.position is not null and a.state = 'PENDING' order by j.submitted_at;

-- name: move_enumerator
-- Where the enumerator goes on; null: it is done. Refused when another one was faster.
update jobs set position = :position where activation_id = :activation_id and position = :seen;

-- name: note_verdict
-- Why a job ends early; the first reason stays.
update jobs set verdict = :verdict where activation_id = :activation_id and verdict = '';
