-- name: insert_access_token
-- Keep the public half of a token, unless its project has one of this name.
insert into access_tokens (kid, project_id, name, role, public_key, created_by, created_at, expires_at)
values (:kid, :project_id, :name, :role, :public_key, :created_by, :created_at, :expires_at)
on conflict (project_id, name) do nothing;

-- name: access_token
-- The token of a key.
select * from access_tokens where kid = :kid;

-- name: access_tokens
-- All tokens of a project.
select * from access_tokens where project_id = :project_id order by name;

-- name: delete_access_token
-- Revoke a token.
delete from access_tokens where project_id = :project_id and name = :name;

-- name: delete_tokens_of_project
-- Revoke all tokens of a project.
delete from access_tokens where project_id = :project_id;
