"""`python -m certfront`."""

from certfront.cli import main

main()
