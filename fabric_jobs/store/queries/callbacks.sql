-- name: insert_callback
-- Expect the end of an activation, to post its record then.
insert into callbacks (activation_id, project_id, url) values (:activation_id, :project_id, :url);

-- name: callbacks_due
-- Callbacks of ended activations whose time has come, the longest waiting first.
select c.* from callbacks c join activations a on a.activation_id = c.activation_id
where c.given_up = 0 and c.next_at <= :now and a.state <> 'PENDING' order by c.next_at limit :limit;

-- name: next_callback
-- When the next one is due that is not yet.
select min(c.next_at) as next_at from callbacks c join activations a on a.activation_id = c.activation_id
where c.given_up = 0 and c.next_at > :now and a.state <> 'PENDING';

-- name: open_callback
-- One row while a callback is expected or being tried.
select 1 from callbacks where given_up = 0 limit 1;

-- name: callback
-- The callback of one activation.
select * from callbacks where activation_id = :activation_id and project_id = :project_id;

-- name: callbacks_of_project
-- Callbacks that were not delivered, the next ones first; those given up are last.
select * from callbacks where project_id = :project_id order by given_up, next_at, activation_id limit :limit;

-- name: callback_failed
-- Note a failed try.
update callbacks set tries = tries + 1, next_at = :next_at, error = :error, given_up = :given_up
where activation_id = :activation_id;

-- name: retry_callback
-- Begin again with the first try.
update callbacks set tries = 0, next_at = 0, given_up = 0 where activation_id = :activation_id;

-- name: delete_callback
-- It was delivered.
delete from callbacks where activation_id = :activation_id;
