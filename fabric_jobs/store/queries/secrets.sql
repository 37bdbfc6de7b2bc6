-- name: secret
-- One secret.
select * from secrets where project_id = :project_id and name = :name;

-- name: secrets
-- The secrets of a project, by name.
select * from secrets where project_id = :project_id order by name;

-- name: secrets_of_all
-- The secrets of all projects.
select * from secrets;

-- name: put_secret
-- Store a secret, or replace it.
insert into secrets (project_id, name, key_id, sealed, saved_at) values (:project_id, :name, :key_id, :sealed, :saved_at)
on conflict (project_id, name) do update set key_id = excluded.key_id, sealed = excluded.sealed, saved_at = excluded.saved_at;

-- name: delete_secret
-- Delete a secret.
delete from secrets where project_id = :project_id and name = :name;
