"""Calls a gateway: the owner on this machine, or a remote one."""
