-- name: latest_document
-- The newest version of a document.
select * from documents
where project_id = :project_id and kind = :kind and parent = :parent and name = :name order by version desc limit 1;

-- name: document
-- One version of a document.
select * from documents
where project_id = :project_id and kind = :kind and parent = :parent and name = :name and version = :version;

-- name: latest_documents
-- The newest version of every document of a kind, except the deleted and the expired.
select d.* from documents d
where d.project_id = :project_id and d.kind = :kind and d.parent = :parent and d.body <> 'null'
  and (d.expires_at is null or d.expires_at > :now)
  and d.version = (select max(version) from documents x
    where x.project_id = d.project_id and x.kind = d.kind and x.parent = d.parent and x.name = d.name)
order by d.name;

-- name: versions_of_document
-- All versions of one document, except the markers of deletion.
select * from documents
where project_id = :project_id and kind = :kind and parent = :parent and name = :name and body <> 'null' order by version desc;

-- name: insert_document
-- Save a new version.
insert into documents (project_id, kind, parent, name, version, body, created_by, created_at, saved_at, expires_at)
values (:project_id, :kind, :parent, :name, :version, :body, :created_by, :created_at, :saved_at, :expires_at);

-- name: delete_document_before
-- Forget the versions before one.
delete from documents
where project_id = :project_id and kind = :kind and parent = :parent and name = :name and version < :version;

-- name: delete_expired_documents
-- Delete the documents whose time is over.
delete from documents where expires_at is not null and expires_at <= :now;

-- name: documents_of_project
-- What a project keeps by name; sessions and what was deleted do not count.
select kind, name from documents d
where project_id = :project_id and kind <> 'session' and body <> 'null'
  and version = (select max(version) from documents x
    where x.project_id = d.project_id and x.kind = d.kind and x.parent = d.parent and x.name = d.name)
order by kind, name limit :limit;

-- name: delete_documents_of_project
-- Delete all documents of a project, with their versions.
delete from documents where project_id = :project_id;
