"""The part of `cortex_internal` that code of users imports."""
