-- Secrets, sealed; the keys are in a file, never here.
create table secrets (
  project_id text not null,
  name       text not null,
  key_id     text not null,  -- of the key that seals it
  sealed     blob not null,
  saved_at   real not null,
  primary key (project_id, name)
) strict, without rowid;
