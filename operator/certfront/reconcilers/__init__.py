"""One level-triggered reconciler per kind: observe, decide, act, report.

context (what they share) → secrets, statuses (the two kinds of write) → certificates, issuers,
frontends, loadbalancers. The decisions themselves are in issuance/ and loadbalancers/.
"""
