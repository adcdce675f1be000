"""The built-in provider: HAProxy nodes, each with an agent beside it.

`handover` is what the operator writes and the agents read, `watermark` what the agents answer,
`configuration` renders an HAProxy configuration from manifests. Nothing here does I/O.
"""
