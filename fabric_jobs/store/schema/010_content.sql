-- Content by key; its bytes are in files.
create table content (
  project_id   text    not null,
  key          text    not null,
  sha256       text    not null,          -- names its bytes, which several keys may share
  size         integer not null,
  content_type text    not null,
  updated_at   real    not null,
  crcs         blob    not null,          -- the CRC-32 of each piece; last, since lists do not read it
  primary key (project_id, key)
) strict;
create index content_of_bytes on content (sha256);
