"""Schedules: when something is invoked. Everything here is pure; `fabric_jobs.engine.schedules` carries it out."""
