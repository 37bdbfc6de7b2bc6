"""A Kubernetes API server without a cluster: objects in memory, over plain HTTP, with Jobs and pods that go their way.

For what a real cluster does not do on request (forget history, answer slowly or not at all, refuse) or cannot hold (10,000 pods),
and for the executor's tests where there is no cluster. Real clusters have the last word: see `tests.kubernetes_place`.
"""
