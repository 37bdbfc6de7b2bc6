"""`python -m fabric_jobs` is the command `fabric-jobs`."""

from fabric_jobs.cli import main

main()
