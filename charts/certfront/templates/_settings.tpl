{{/* The operator's settings file: every setting there is, so that what is in force can be read there. */}}
{{- define "certfront.settings" -}}
namespace: {{ .Release.Namespace | quote }}
# Part of every name at a provider: choose it once per installation; it survives a rebuilt cluster.
installationID: {{ .Values.settings.installationID | quote }}
# Used by Certificates and frontends that name none.
defaultIssuer: {{ include "certfront.defaultIssuer" . | quote }}
defaultLoadBalancer: {{ include "certfront.defaultLoadBalancer" . | quote }}
# Normal, or AdoptOnly for the hour after a restore.
issuance: {{ .Values.settings.issuance | quote }}
# Empty: all namespaces.
watchNamespaces: {{ include "certfront.watchNamespaces" . }}
secretWatch: {{ .Values.settings.secretWatch }}
allowEndpoints: {{ toJson .Values.settings.allowEndpoints }}
# The operator's own HTTP-01 challenge port, for routes of the kind External.
solverAddress: {{ .Values.solver.enabled | ternary (printf "0.0.0.0:%d" (int .Values.solver.port)) "" | quote }}
healthAddress: "0.0.0.0:8080"
metricsAddress: {{ .Values.metrics.enabled | ternary (printf "0.0.0.0:%d" (int .Values.metrics.port)) "" | quote }}
documentationURL: {{ .Values.settings.documentationURL | quote }}
{{- end }}
