{{- define "certfront.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "certfront.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "certfront.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "certfront.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "certfront.operatorAccount" -}}
{{- default (include "certfront.fullname" .) .Values.operator.serviceAccount.name }}
{{- end }}

{{- define "certfront.agentAccount" -}}
{{- default (printf "%s-agent" (include "certfront.fullname" .)) .Values.loadBalancer.serviceAccount.name }}
{{- end }}

{{- define "certfront.issuerNamespace" -}}
{{- if .Values.issuer.namespace }}
{{- .Values.issuer.namespace }}
{{- else if .Values.loadBalancer.enabled }}
{{- .Values.loadBalancer.namespace }}
{{- else }}
{{- .Release.Namespace }}
{{- end }}
{{- end }}

{{- define "certfront.defaultIssuer" -}}
{{- if .Values.settings.defaultIssuer }}
{{- .Values.settings.defaultIssuer }}
{{- else if .Values.issuer.enabled }}
{{- printf "%s/%s" (include "certfront.issuerNamespace" .) .Values.issuer.name }}
{{- end }}
{{- end }}

{{- define "certfront.defaultLoadBalancer" -}}
{{- if .Values.settings.defaultLoadBalancer }}
{{- .Values.settings.defaultLoadBalancer }}
{{- else if .Values.loadBalancer.enabled }}
{{- printf "%s/%s" .Values.loadBalancer.namespace .Values.loadBalancer.name }}
{{- end }}
{{- end }}

{{/* Whether the default Issuer can be made: "true" or nothing. */}}
{{- define "certfront.issuerComplete" -}}
{{- if and .Values.issuer.enabled .Values.issuer.email .Values.issuer.termsOfServiceAgreed }}true{{ end }}
{{- end }}

{{/* The namespaces that are looked at, as JSON: empty for all of them. */}}
{{- define "certfront.watchNamespaces" -}}
{{- $all := list }}
{{- if .Values.watchNamespaces }}
{{- $all = .Values.watchNamespaces }}
{{- with include "certfront.defaultIssuer" . }}
{{- $all = append $all (splitList "/" . | first) }}
{{- end }}
{{- with include "certfront.defaultLoadBalancer" . }}
{{- $all = append $all (splitList "/" . | first) }}
{{- end }}
{{- end }}
{{- $all | uniq | sortAlpha | toJson }}
{{- end }}
