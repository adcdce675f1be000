"""`make bench`: how fast, how frugal and how soon certfront is, measured on a sandbox of its own.

plan (what is measured, in order) uses subject (the operator that is measured), api and readiness (a
client that watches), ceiling (bare clients that only write), audit (when the first write was), served
(handshakes) and sampling (a profile). measures and figures are arithmetic and its presentation.
"""
