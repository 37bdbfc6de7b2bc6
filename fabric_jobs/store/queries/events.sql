-- name: insert_event
-- Each move leaves one.
insert into events (project_id, activation_id, task_id, kind, body, at) values (:project_id, :activation_id, :task_id, :kind, :body, :at);

-- name: events_after
-- What happened after a number.
select * from events where number > :after and project_id = :project_id and (:activation_id is null or activation_id = :activation_id)
order by number limit :limit;
