-- name: put_content
-- Store content under its key; it replaces what was there.
insert into content (project_id, key, sha256, size, content_type, updated_at, crcs)
values (:project_id, :key, :sha256, :size, :content_type, :updated_at, :crcs)
on conflict (project_id, key) do update set sha256 = excluded.sha256, size = excluded.size,
  content_type = excluded.content_type, updated_at = excluded.updated_at, crcs = excluded.crcs;

-- name: content
-- The content of a key.
select key, sha256, size, content_type, updated_at, crcs from content where project_id = :project_id and key = :key;

-- name: contents
-- Content by key, from the first that begins with `prefix` and follows `after`.
select key, sha256, size, content_type, updated_at from content
where project_id = :project_id and key > :after and key >= :prefix and key < :prefix || char(1114111)
order by key limit :limit offset :skip;

-- name: drop_content
-- Forget a key.
delete from content where project_id = :project_id and key = :key;

-- name: content_of_bytes
-- Whether a key refers to these bytes.
select 1 from content where sha256 = :sha256 limit 1;

-- name: contents_of_all
-- Every key, for the audit and backups; keys that share bytes follow each other.
select project_id, key, sha256, size from content order by sha256, project_id, key;

-- name: content_totals
-- How many keys there are, and how many bytes without those that are shared.
select (select count(*) from content) as count,
  (select coalesce(sum(size), 0) from (select max(size) as size from content group by sha256)) as bytes;
