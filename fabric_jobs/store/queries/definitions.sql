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

-- name: insert_definition
-- Save a new version.
insert into definitions (project_id, kind, name, version, hash, body, source, images, saved_at, saved_by)
values (:project_id, :kind, :name, :version, :hash, :body, :source, :images, :saved_at, :saved_by);
