"""Classic load balancers of AWS: listeners with server certificates of IAM, one on each."""
