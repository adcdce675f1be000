"""AWS: IAM server certificates, ACM, classic and application load balancers, STS.

moto keeps the load balancers, target groups, rules and policies; what it lets through is refused
here, and certificates, listeners, signatures and sessions are this package's own (:mod:`.emulator`
says in which order a request passes them).

Conformance: what is followed, and from where
- operations, members, lengths, patterns, error codes and statuses: botocore's service models of
  iam 2010-05-08, acm 2015-12-08, elb 2012-06-01, elbv2 2015-12-01, sts 2011-06-15
- IAM server certificates: IAM User Guide, "Manage server certificates in IAM", and API reference
  (UploadServerCertificate, DeleteServerCertificate); quota 20
- re-import, key types, sizes, validity: ACM User Guide, "Reimport a certificate" and
  "Prerequisites for importing ACM certificates"; default key types: API ListCertificates
- a certificate just uploaded is CertificateNotFound for a while: API elb
  SetLoadBalancerListenerSSLCertificate (errors), terraform-provider-aws pull requests 3901, 10294
- DeleteConflict and ResourceInUse for a while after the detaching: terraform issues 14609, 14655
- default and other certificates of a listener, one certificate for each call, smart selection:
  Application Load Balancers guide, "SSL certificates"; API AddListenerCertificates,
  DescribeListenerCertificates, RemoveListenerCertificates
- signatures: IAM User Guide, "Signature Version 4"; "Common Error Types" of each API

What is not known, and how it is here
- members that a service has not: AWS passes over them; here they are refused (ValidationError)
- codes for a secure classic listener without a certificate, and for wrong numbers of certificates
  on a listener: ValidationError
- whether ACM still asks for a chain with a certificate that is not self-signed: its present guide
  says that the chain is a choice, older ones that it is needed; option `chain_required`
- a renamed IAM certificate that is in use: its listeners keep the old ARN and go on serving
- how late `InUseBy` is: option `in_use_lag`; how long a certificate is not found: `propagation_*`
- the account's id differs between the emulators of one process, because moto keeps each account
"""

from sandbox.emulators.aws.emulator import AWS
from sandbox.emulators.aws.faults import refusing, throttling

__all__ = ["AWS", "refusing", "throttling"]
