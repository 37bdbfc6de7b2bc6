-- name: insert_snapshot
-- Store a snapshot; an id is used once.
insert into snapshots (snapshot_id, project_id, agent_name, title, pins, created_by, created_at)
values (:snapshot_id, :project_id, :agent_name, :title, :pins, :created_by, :created_at)
on conflict (snapshot_id) do nothing;

-- name: snapshot
-- One snapshot.
select * from snapshots where snapshot_id = :snapshot_id and project_id = :project_id;

-- name: delete_snapshot
-- Delete a snapshot; what it froze stays.
delete from snapshots where snapshot_id = :snapshot_id and project_id = :project_id;

-- name: snapshots_of_agent
-- The snapshots of an agent, newest first.
select * from snapshots where project_id = :project_id and agent_name = :agent_name order by created_at desc, snapshot_id;
