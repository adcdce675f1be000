"""OVHcloud IP Load Balancing: certificates of a service, its frontends, and the refresh that applies them.

`client` makes the calls, `authentication` proves who sends them, `provider` observes and takes steps,
`plan` decides (with `places` for frontends, `stock` for certificates and `orders` for those that OVH
issues), `state` are the values between them. `kind.KIND` is what the registry lists.
"""
