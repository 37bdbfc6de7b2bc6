"""The command `cortex` of Cortex Labs, as far as its Python client calls it (docs/howto/cortex-client.md).

It needs the standard library only, so that it works beside any program.
"""
