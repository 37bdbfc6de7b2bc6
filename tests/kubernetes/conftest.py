"""A workspace whose skills run in a cluster, for every test."""

from __future__ import annotations

from tests.kubernetes.live import kubernetes_live as kubernetes_live
