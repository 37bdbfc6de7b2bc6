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

-- name: jobs, jobs_of_api
-- Jobs of a project, newest first; null matches all.
select j.* from jobs j join activations a using (activation_id)
where j.project_id = :project_id{| and j.api_name = :api_name} and j.activation_id > :after
  and (:is_live is null or (a.state = 'PENDING') = :is_live)
order by j.activation_id limit :limit;

-- name: measured_jobs
-- The counts of the jobs that run, and of those that ended since.
select j.api_name, j.activation_id, j.kind, a.state, a.started_at, a.ended_at, coalesce(c.succeeded, 0) as succeeded,
  coalesce(c.failed, 0) as failed, coalesce(c.seconds, 0) as seconds
from activations a join jobs j using (activation_id) left join batch_counts c using (activation_id)
where a.state = 'PENDING' or a.ended_at >= :since order by j.activation_id;

-- name: enumerating_jobs
-- Jobs whose enumerator is not done, oldest first.
select j.* from jobs j indexed by jobs_enumerating join activations a using (activation_id)
where j.position is not null and a.state = 'PENDING' order by j.submitted_at;

-- name: live_jobs
-- The jobs of an API that have not ended, newest first.
select j.* from activations a indexed by activations_by_state join jobs j using (activation_id)
where a.project_id = :project_id and a.state = 'PENDING' and j.api_name = :api_name order by j.activation_id;

-- name: live_job_counts
-- How many jobs of each API have not ended.
select j.api_name, count(*) as count from activations a indexed by activations_by_state join jobs j using (activation_id)
where a.project_id = :project_id and a.state = 'PENDING' group by j.api_name;

-- name: first_enumerating_job
-- One row while there is such a job.
select 1 from jobs j indexed by jobs_enumerating join activations a using (activation_id)
where j.position is not null and a.state = 'PENDING' limit 1;

-- name: move_enumerator
-- Where the enumerator goes on; null: it is done. Refused when another one was faster.
update jobs set position = :position where activation_id = :activation_id and position = :seen;

-- name: note_verdict
-- Why a job ends early; the first reason stays.
update jobs set verdict = :verdict where activation_id = :activation_id and verdict = '';
