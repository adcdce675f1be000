"""Decides when and why a certificate is issued, and obtains it.

needs (what is wanted, hashed) → record (what the Secret holds) → triggers (why to act now) →
selfsigned, ca, uploaded, acme/ (how) → report (what status says). Nothing here talks to the API server.
"""
