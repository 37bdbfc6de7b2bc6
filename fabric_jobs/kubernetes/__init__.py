"""Talks to a Kubernetes cluster. The library and its errors stop here."""
