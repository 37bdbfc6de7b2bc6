"""The program of a worker of a Batch or Task API: `python -m cortex_worker` (docs/explanation/batches.md).

It uses only the standard library and runs on the Python of the API, from 3.8 on.
"""
