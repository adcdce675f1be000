"""The four kinds, their conditions and tasks, as frozen values without any I/O."""
