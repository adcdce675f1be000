"""Kong Gateway 3.x, by its Admin API.

`wanting` says which certificates Kong should have, `planning` compares that with what was observed
(`state`), `admin` is the Admin API, `provider` executes, `ownership` has the ids and tags by which
our objects are known. Whoever adds another provider may start from here.
"""
