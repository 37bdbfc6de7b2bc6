-- name: insert_dead_letter
-- Keep a record as a dead letter, at most once.
insert into dead_letters (project_id, activation_id, channel_id, record_offset, task_id, skill_name, payload, body, error, on_error,
  attempts, dead_at)
values (:project_id, :activation_id, :channel_id, :record_offset, :task_id, :skill_name, x'', :payload, :error, :on_error,
  :attempts, :dead_at)
on conflict (channel_id, record_offset) do nothing;

-- name: dead_letter
-- One dead letter.
select * from dead_letter_rows where dead_letter_id = :dead_letter_id and project_id = :project_id;

-- name: dead_letter_payload
-- The payload of a dead letter.
select body from dead_letters where dead_letter_id = :dead_letter_id;

-- name: dead_letters
-- Dead letters, oldest first, filtered; null matches all.
select * from dead_letter_rows
where project_id = :project_id
  and (:skill_name is null or skill_name = :skill_name)
  and (:retried is null or (retried_as is not null) = :retried)
  and (:contains is null or instr(error ->> 'reason', :contains) > 0)
order by dead_letter_id limit :limit offset :skip;

-- name: dead_letters_count
-- How many match the same filter.
select count(*) as count from dead_letter_rows
where project_id = :project_id
  and (:skill_name is null or skill_name = :skill_name)
  and (:retried is null or (retried_as is not null) = :retried)
  and (:contains is null or instr(error ->> 'reason', :contains) > 0);

-- name: dead_letters_of_activation
-- The same for one activation: a combined statement would read the letters of all.
select * from dead_letter_rows
where project_id = :project_id and activation_id = :activation_id
  and (:skill_name is null or skill_name = :skill_name)
  and (:retried is null or (retried_as is not null) = :retried)
  and (:contains is null or instr(error ->> 'reason', :contains) > 0)
order by dead_letter_id limit :limit offset :skip;

-- name: dead_letters_of_activation_count
-- How many of one activation match.
select count(*) as count from dead_letter_rows
where project_id = :project_id and activation_id = :activation_id
  and (:skill_name is null or skill_name = :skill_name)
  and (:retried is null or (retried_as is not null) = :retried)
  and (:contains is null or instr(error ->> 'reason', :contains) > 0);

-- name: dead_letter_counts
-- How many records of an activation are dead, by `onError`.
select on_error, count(*) as count from dead_letters where activation_id = :activation_id group by on_error;

-- name: first_dead_letter
-- The oldest dead letter of an activation, for its error.
select * from dead_letter_rows where activation_id = :activation_id and on_error = :on_error order by dead_letter_id limit 1;

-- name: dead_offsets
-- The records that a consumer is not handed again.
select record_offset from dead_letters where channel_id = :channel_id and record_offset >= :offset order by record_offset;

-- name: edit_dead_letter
-- Replace the payload.
update dead_letters set body = :payload where dead_letter_id = :dead_letter_id;

-- name: retry_dead_letter
-- Only one retry at a time.
update dead_letters set retried_as = :retried_as where dead_letter_id = :dead_letter_id and retried_as is null;

-- name: drop_dead_letter
-- Delete a dead letter for good.
delete from dead_letters where dead_letter_id = :dead_letter_id;
