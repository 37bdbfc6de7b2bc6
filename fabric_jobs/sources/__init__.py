"""Where the items of a job come from: files that are listed, and files that are read (docs/howto/job-sources.md).

`globs` picks files, `paths` reads what a caller names; `local` and `objects` list and read files of this machine and of
object stores; `json_stream`, `csv_rows` and `gzipped` take files apart; `source` is what a job asks for, and `items` reads it
in chunks, each with the position at which a later process goes on.
"""
