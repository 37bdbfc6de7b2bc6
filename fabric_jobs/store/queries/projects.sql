-- name: insert_project
-- Make a project, unless there is one of this name.
insert into projects (project_id, title, description, created_by, created_at)
values (:project_id, :title, :description, :created_by, :created_at)
on conflict (project_id) do nothing;

-- name: project
-- One project.
select * from projects where project_id = :project_id;

-- name: projects
-- All projects.
select * from projects order by project_id;

-- name: skills_of_project
-- The names of its skills.
select name from definitions d where project_id = :project_id and kind = 'skill' and body <> 'null'
  and version = (select max(version) from definitions x where x.project_id = d.project_id and x.kind = d.kind and x.name = d.name)
order by name limit :limit;

-- name: agents_of_project
-- The names of its agents.
select name from definitions d where project_id = :project_id and kind = 'agent' and body <> 'null'
  and version = (select max(version) from definitions x where x.project_id = d.project_id and x.kind = d.kind and x.name = d.name)
order by name limit :limit;

-- name: activations_of_project
-- The ids of its activations, whether they have ended or not.
select activation_id as name from activations where project_id = :project_id order by started_at limit :limit;

-- name: delete_versions_of_project
-- Delete the versions of its deleted skills and agents.
delete from definitions where project_id = :project_id;

-- name: delete_events_of_project
-- Delete what is left of its events.
delete from events where project_id = :project_id;

-- name: delete_project
-- Delete a project; nothing may refer to it any more.
delete from projects where project_id = :project_id;

-- name: tables_with_projects
-- The tables whose rows belong to projects.
select t.name from sqlite_master t, pragma_table_info(t.name) c where t.type = 'table' and c.name = 'project_id';
