-- name: insert_schedule
-- Insert a schedule.
insert into schedules (project_id, name, kind, target, entry, cron, timezone, overlap, catchup, catchup_seconds, jitter_seconds,
  payload, properties, executor, username, session_id, correlation_id, last_at, next_at, created_at, updated_at)
values (:project_id, :name, :kind, :target, :entry, :cron, :timezone, :overlap, :catchup, :catchup_seconds, :jitter_seconds,
  :payload, :properties, :executor, :username, :session_id, :correlation_id, :now, :next_at, :now, :now);

-- name: change_schedule
-- Replace what a schedule says; its past and its pause stay.
update schedules set name = :name, kind = :kind, target = :target, entry = :entry, cron = :cron, timezone = :timezone,
  overlap = :overlap, catchup = :catchup, catchup_seconds = :catchup_seconds, jitter_seconds = :jitter_seconds, payload = :payload,
  properties = :properties, executor = :executor, username = :username, session_id = :session_id, correlation_id = :correlation_id,
  last_at = max(last_at, :now), next_at = :next_at, updated_at = :now
where schedule_id = :schedule_id;

-- name: schedule
-- One schedule, whatever the case of its name.
select * from schedule_rows where project_id = :project_id and lower(name) = lower(:name);

-- name: schedule_by_id
-- One schedule by its number.
select * from schedule_rows where schedule_id = :schedule_id;

-- name: schedule_payload
-- The payload of its runs.
select payload from schedules where schedule_id = :schedule_id;

-- name: schedules
-- The schedules of a project, by name; null matches all.
select * from schedule_rows
where project_id = :project_id
  and (:kind is null or kind = :kind) and (:target is null or target = :target)
order by lower(name);

-- name: active_schedules
-- The schedules that are not paused.
select * from schedule_rows where paused = 0;

-- name: move_schedule
-- Move on to the next time; refused when somebody else did, or changed or paused the schedule.
update schedules set last_at = :last_at, next_at = :next_at
where schedule_id = :schedule_id and next_at is :seen_next_at and updated_at = :seen_updated_at and paused = 0;

-- name: pause_schedule
-- Stop a schedule from firing.
update schedules set paused = 1, note = :note, updated_at = :now where schedule_id = :schedule_id;

-- name: resume_schedule
-- Let a schedule fire again, from now on.
update schedules set paused = 0, note = '', last_at = max(last_at, :now), next_at = :next_at, updated_at = :now
where schedule_id = :schedule_id;

-- name: delete_schedule
-- Delete a schedule; its occurrences go with it.
delete from schedules where schedule_id = :schedule_id;

-- name: put_occurrence
-- Write what becomes of a time; what was started stays.
insert into occurrences (schedule_id, at, outcome, reason, origin, activation_id, decided_at)
values (:schedule_id, :at, :outcome, :reason, :origin, :activation_id, :decided_at)
on conflict (schedule_id, at) do update set outcome = excluded.outcome, reason = excluded.reason, origin = excluded.origin,
  activation_id = excluded.activation_id, decided_at = excluded.decided_at
where occurrences.outcome <> 'started';

-- name: forget_occurrences
-- Keep only the newest of a schedule.
delete from occurrences where schedule_id = :schedule_id and outcome <> 'queued' and at < (
  select at from occurrences where schedule_id = :schedule_id order by at desc limit 1 offset :kept);

-- name: occurrence
-- What became of one time.
select * from occurrences where schedule_id = :schedule_id and at = :at;

-- name: occurrences
-- What became of its times, the newest first.
select * from occurrences where schedule_id = :schedule_id order by at desc limit :limit offset :skip;

-- name: running_occurrences
-- The activations of a schedule that have not ended, the oldest first.
select o.activation_id from activations a cross join occurrences o on o.activation_id = a.activation_id
where a.state = 'PENDING' and o.schedule_id = :schedule_id order by o.at;

-- name: queued_occurrence
-- The time that waits for the end of a run.
select at from occurrences where schedule_id = :schedule_id and outcome = 'queued' order by at limit 1;

-- name: schedules_with_queued
-- The schedules of which a time waits.
select distinct schedule_id from occurrences where outcome = 'queued';

-- name: occurrence_of_activation
-- The time and the schedule of a run, or of the run whose dead letters it retries.
select o.at, s.name from occurrences o join schedules s on s.schedule_id = o.schedule_id
where o.activation_id in (:activation_id, :retry_of) limit 1;
