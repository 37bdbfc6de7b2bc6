-- name: insert_dead_letter
-- Once per record.
insert into dead_letters (project_id, activation_id, channel_id, record_offset, task_id, skill_name, payload, body, error, on_error,
  attempts, dead_at)
values (:project_id, :activation_id, :channel_id, :record_offset, :task_id, :skill_name, x'', :payload, :error, :on_error,
  :attempts, :dead_at)
on conflict (channel_id, record_offset) do nothing;

-- name: dead_letter
-- One dead letter.
select * from dead_letter_rows where dead_letter_id = :dead_letter_id and project_id = :project_id;

-- name: dead_letter_payload
-- The record.
select body from dead_letters where dead_letter_id = :dead_letter_id;

-- name: dead_letters
-- The oldest first, filtered; null takes all.
select * from dead_letter_rows
where project_id = :project_id
  and (:skill_name is null or skill_name = :skill_name)
  and (:retried is null or (retried_as is not null) = :retried)
  and (:contains is null or instr(error ->> 'reason', :contains) > 0)
order by dead_letter_id limit :limit offset :skip;

-- name: dead_letters_count
-- How many there are, filtered in the same way.
select count(*) as count from dead_letter_rows
where project_id = :project_id
  and (:skill_name is null or skill_name = :skill_name)
  and (:retried is null or (retried_as is not null) = :retried)
  and (:contains is null or instr(error ->> 'reason', :contains) > 0);

-- name: dead_letters_of_activation
-- The same of one activation: a statement that could do both would read the letters of all.
select * from dead_letter_rows
where project_id = :project_id and activation_id = :activation_id
  and (:skill_name is null or skill_name = :skill_name)
  and (:retried is null or (retried_as is not null) = :retried)
  and (:contains is null or instr(error ->> 'reason', :contains) > 0)
order by dead_letter_id limit :limit offset :skip;

-- name: dead_letters_of_activation_count
-- How many of one activation there are.
select count(*) as count from dead_letter_rows
where project_id = :project_id and activation_id = :activation_id
  and (:skill_name is null or skill_name = :skill_name)
  and (:retried is null or (retried_as is not null) = :retried)
  and (:contains is null or instr(error ->> 'reason', :contains) > 0);

-- name: dead_letter_counts
-- How many records of an activation are dead.
select on_error, count(*) as count from dead_letters where activation_id = :activation_id group by on_error;

-- name: first_dead_letter
-- What an activation tells of them.
select * from dead_letter_rows where activation_id = :activation_id and on_error = :on_error order by dead_letter_id limit 1;

-- name: dead_offsets
-- What a consumer is not handed again.
select record_offset from dead_letters where channel_id = :channel_id and record_offset >= :offset order by record_offset;

-- name: edit_dead_letter
-- Another payload.
update dead_letters set body = :payload where dead_letter_id = :dead_letter_id;

-- name: retry_dead_letter
-- One retry at a time.
update dead_letters set retried_as = :retried_as where dead_letter_id = :dead_letter_id and retried_as is null;

-- name: drop_dead_letter
-- For good.
delete from dead_letters where dead_letter_id = :dead_letter_id;
