"""Application load balancers of AWS: listeners with certificates of ACM, chosen by SNI."""
