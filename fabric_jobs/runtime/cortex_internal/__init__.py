"""What code for Cortex Labs imports: `from cortex_internal.lib.log import logger` (docs/howto/classes-of-apis.md)."""
