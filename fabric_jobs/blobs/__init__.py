"""Bytes of any length, kept by their SHA-256: in a directory, or in an S3-compatible store (docs/howto/content-and-secrets.md)."""

from __future__ import annotations

from pathlib import Path

from fabric_jobs.blobs.blobs import Blobs, Swept
from fabric_jobs.blobs.directory import Directory
from fabric_jobs.blobs.incoming import PIECE_BYTES, Blob, Incoming

__all__ = ["PIECE_BYTES", "Blob", "Blobs", "Incoming", "Swept", "open_blobs"]


def open_blobs(directory: Path, url: str = "", owner: str = "") -> Blobs:
    """Return the blobs of a state directory: in `directory`, or in the bucket of an `s3://BUCKET/PREFIX`.

    `owner` is an id of the gateway: only one may remove what is in a bucket. Raises InvalidInput for a wrong URL.
    """
    if not url:
        return Blobs(directory, Directory(directory))
    from fabric_jobs.blobs.bucket import Bucket  # late: most gateways have none

    return Blobs(directory, Bucket(url, owner))
