-- name: latest_definition
-- The newest version of a definition.
select * from definitions where project_id = :project_id and kind = :kind and name = :name order by version desc limit 1;

-- name: definition
-- One version of a definition.
select * from definitions where project_id = :project_id and kind = :kind and name = :name and version = :version;

-- name: latest_definitions
-- The newest version of every definition of a kind; that of a deleted one is the document null.
select d.* from definitions d
where d.project_id = :project_id and d.kind = :kind and d.body <> 'null'
  and d.version = (select max(version) from definitions x where x.project_id = d.project_id and x.kind = d.kind and x.name = d.name)
order by d.name;

-- name: versions_of_definition
-- All versions of one definition, except the markers of deletion.
select * from definitions where project_id = :project_id and kind = :kind and name = :name and body <> 'null' order by version desc;

-- name: move_sources
-- The files below a directory are below another one now.
update definitions set source = :new || substr(source, length(:old) + 1) where substr(source, 1, length(:old) + 1) = :old || '/';

-- name: versions_with_source
-- The versions whose files are in a directory, and whether each is the newest.
select d.project_id, d.name, d.version,
  d.version = (select max(version) from definitions x where x.project_id = d.project_id and x.kind = d.kind and x.name = d.name) as is_newest
from definitions d where d.source = :source and d.kind = 'skill';

-- name: sources_below
-- The newest versions whose files are below a directory.
select d.project_id, d.name, d.source from definitions d
where substr(d.source, 1, length(:directory) + 1) = :directory || '/'
  and d.version = (select max(version) from definitions x where x.project_id = d.project_id and x.kind = d.kind and x.name = d.name)
order by d.project_id, d.name;

-- name: pinned_version
-- Whether an activation or a snapshot has pinned a version of a skill.
select 1 as is_pinned from activations a, json_each(a.pins, '$.skills') s
where a.project_id = :project_id and s.key = :name and s.value = :version
union all select 1 from snapshots p, json_each(p.pins, '$.skills') s
where p.project_id = :project_id and s.key = :name and s.value = :version limit 1;

-- name: insert_definition
-- Save a new version.
insert into definitions (project_id, kind, name, version, hash, body, source, images, saved_at, saved_by)
values (:project_id, :kind, :name, :version, :hash, :body, :source, :images, :saved_at, :saved_by);
