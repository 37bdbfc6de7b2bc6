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

-- part: listed_letter
-- What lists show, without the payload.
dead_letter_id, project_id, activation_id, channel_id, record_offset, task_id, skill_name, error, on_error, attempts, dead_at, retried_as

-- part: wanted_letters
-- A filter; null matches all.
(:activation_id is null or activation_id = :activation_id)
  and (:skill_name is null or skill_name = :skill_name)
  and (:retried is null or (retried_as is not null) = :retried)
  and (:contains is null or instr(error ->> 'reason', :contains) > 0)

-- name: dead_letters
-- Dead letters, oldest first.
select {listed_letter} from dead_letters indexed by dead_letters_by_project
where project_id = :project_id and dead_letter_id > :after and {wanted_letters}
order by dead_letter_id limit :limit offset :skip;

-- name: dead_letters_count
-- How many there are.
select count(*) as count from dead_letters indexed by dead_letters_by_project where project_id = :project_id and {wanted_letters};

-- name: dead_letters_of_activation
-- The same of one activation.
select {listed_letter} from dead_letters indexed by dead_letters_by_activation
where project_id = :project_id and activation_id = :activation_id and dead_letter_id > :after and {wanted_letters}
order by dead_letter_id limit :limit offset :skip;

-- name: dead_letters_of_activation_count
-- How many there are.
select count(*) as count from dead_letters indexed by dead_letters_by_activation where project_id = :project_id and activation_id = :activation_id and {wanted_letters};

-- name: dead_letters_of_skill
-- The same of one skill.
select {listed_letter} from dead_letters indexed by dead_letters_by_skill
where project_id = :project_id and skill_name = :skill_name and dead_letter_id > :after and {wanted_letters}
order by dead_letter_id limit :limit offset :skip;

-- name: dead_letters_of_skill_count
-- How many there are.
select count(*) as count from dead_letters indexed by dead_letters_by_skill where project_id = :project_id and skill_name = :skill_name and {wanted_letters};

-- name: dead_letters_left
-- The same of those that nobody retries.
select {listed_letter} from dead_letters indexed by dead_letters_left
where project_id = :project_id and retried_as is null and dead_letter_id > :after and {wanted_letters}
order by dead_letter_id limit :limit offset :skip;

-- name: dead_letters_left_count
-- How many there are.
select count(*) as count from dead_letters indexed by dead_letters_left where project_id = :project_id and retried_as is null and {wanted_letters};

-- name: dead_letters_retried
-- The same of the others.
select {listed_letter} from dead_letters indexed by dead_letters_retried
where project_id = :project_id and retried_as is not null and dead_letter_id > :after and {wanted_letters}
order by dead_letter_id limit :limit offset :skip;

-- name: dead_letters_retried_count
-- How many there are.
select count(*) as count from dead_letters indexed by dead_letters_retried where project_id = :project_id and retried_as is not null and {wanted_letters};

-- name: dead_letters_between
-- Those with these numbers.
select {listed_letter} from dead_letters
where dead_letter_id >= :begin and dead_letter_id < :beyond and project_id = :project_id order by dead_letter_id limit :limit;

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
