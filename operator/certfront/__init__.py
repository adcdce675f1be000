"""certfront: certificates issued, installed on load balancers, and proven to be served.

Start with app.py (how the operator is put together), then handlers/, reconcilers/ and the domain.
"""

__version__ = "0.1.0"
