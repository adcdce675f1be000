"""OpenScaler: certificates that are created under a load balancer, by three kinds; see `kind`."""
