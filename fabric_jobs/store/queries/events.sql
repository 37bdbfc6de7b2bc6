-- name: insert_event
-- Each move leaves one.
insert into events (project_id, activation_id, task_id, kind, body, at) values (:project_id, :activation_id, :task_id, :kind, :body, :at);

-- name: events_after
-- What happened after a number.
select * from events where number > :after and project_id = :project_id order by number limit :limit;

-- name: events_of_activation
-- The same of one activation: a statement of its own, since one that could do both would read the events of all.
select * from events where activation_id = :activation_id and number > :after and project_id = :project_id
order by number limit :limit;
