"""The engine: store, queue, workers, sweep and domains of serialization.

It knows no kind, no provider and no API server: what it needs of them is handed in by `app`.
"""
