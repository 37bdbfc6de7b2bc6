"""What code for Cortex Labs imports: `from cortex_internal.lib.log import logger` (docs/howto/batch-and-task-classes.md)."""
