{{/* The operator's rights in what it watches. tests/e2e/test_rights.py compares them with the audit log. */}}
{{- define "certfront.operatorRules" -}}
- apiGroups: [certfront.io]
  resources: [certificates, issuers, loadbalancers, loadbalancerfrontends]
  verbs: [get, list, watch]
# For our finalizer; nothing is ever written to a spec.
- apiGroups: [certfront.io]
  resources: [loadbalancers, loadbalancerfrontends]
  verbs: [patch]
- apiGroups: [certfront.io]
  resources: [certificates/status, issuers/status, loadbalancers/status, loadbalancerfrontends/status]
  verbs: [patch]
# create and patch: server-side apply needs both. delete: pending keys, bundles, manifests, challenges,
# and the Secret of a Certificate whose deletionPolicy asks for it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
# The ClusterIP of the Service that a farm names.
- apiGroups: [""]
  resources: [services]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
# The agents' Leases: their heartbeat and watermark.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch]
{{- end }}

{{- define "certfront.namespaceRules" -}}
# The labels that grants select namespaces by.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- end }}
