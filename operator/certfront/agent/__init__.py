"""What runs beside every HAProxy process: it keeps disk and memory as the manifests ask.

`reconcile` observes, decides and acts; `watching` reads the Secrets, `node` is the main loop.
"""
