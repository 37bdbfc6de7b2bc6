-- name: refer_to_file
-- Count one more reference to a file, up to the byte `size`.
insert into files (name, task_id, attempt, refs, size) values (:name, :task_id, :attempt, 1, :size)
on conflict (name) do update set refs = refs + 1, size = max(size, excluded.size)
returning file_id;

-- name: forget_unused_files
-- Forget files without references that nobody appends to any more.
delete from files where refs = 0 and name <> :current and not exists (select 1 from tasks t
  where t.task_id = files.task_id and t.attempt = files.attempt and t.state in ('STARTING', 'ACTIVE'))
returning name;

-- name: files
-- All files that rows may refer to.
select file_id, name, refs, size from files order by name;

-- name: live_attempts
-- Attempts that may append to their own files.
select name || '-' || attempt as name from tasks where state in ('STARTING', 'ACTIVE');
