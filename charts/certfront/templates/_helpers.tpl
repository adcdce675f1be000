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

{{/* Labels that identify pods. Call with (list $ "operator"). */}}
{{- define "certfront.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "certfront.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of an object. Call with (list $ "operator"). */}}
{{- define "certfront.labels" -}}
{{- $root := index . 0 -}}
{{ include "certfront.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: certfront
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Annotations of the default Issuer and LoadBalancer. Their kinds may come with this very release:
     Helm looks kinds up before it makes anything, hooks excepted. So in a cluster that does not know
     them yet they are made after the rest, and belong to the release from its first upgrade on.
     (docs/decisions/2026-11-24-chart-defaults.md) */}}
{{- define "certfront.defaultsAnnotations" -}}
{{- /* Deleting one would take off the nodes whatever is installed through it. */ -}}
helm.sh/resource-policy: keep
{{- if not (.Capabilities.APIVersions.Has "certfront.io/v1alpha1") }}
helm.sh/hook: post-install
helm.sh/hook-delete-policy: before-hook-creation
meta.helm.sh/release-name: {{ .Release.Name }}
meta.helm.sh/release-namespace: {{ .Release.Namespace }}
{{- end }}
# For Argo CD: the kinds may come with this very application.
argocd.argoproj.io/sync-options: SkipDryRunOnMissingResource=true
{{- end }}

{{/* An image. Call with (list $ .Values.image). */}}
{{- define "certfront.image" -}}
{{- $root := index . 0 }}
{{- $image := index . 1 }}
{{- $registry := default $root.Values.global.imageRegistry $image.registry }}
{{- $name := $image.repository }}
{{- if $registry }}
{{- $name = printf "%s/%s" $registry $name }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $name $image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default $root.Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* What both kinds of pods share at the end of their spec. Call with (list $ .Values.operator "operator"). */}}
{{- define "certfront.placement" -}}
{{- $root := index . 0 }}
{{- $pods := index . 1 }}
{{- $component := index . 2 -}}
topologySpreadConstraints:
{{- if $pods.topologySpreadConstraints }}
  {{- toYaml $pods.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "certfront.selector" (list $root $component) | nindent 8 }}
{{- end }}
{{- with $pods.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pods.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pods.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with concat $root.Values.imagePullSecrets $root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name") }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The port that a pod really binds for one of the load balancer's. Call with (list $ 443). */}}
{{- define "certfront.boundPort" -}}
{{- $root := index . 0 }}
{{- $port := index . 1 | int }}
{{- if or $root.Values.loadBalancer.sysctl (ge $port 1024) }}
{{- $port }}
{{- else }}
{{- add $port 8000 }}
{{- end }}
{{- end }}

{{/* --port-map of the agents, or nothing. */}}
{{- define "certfront.portMap" -}}
{{- $pairs := list }}
{{- range .Values.loadBalancer.ports }}
{{- $bound := include "certfront.boundPort" (list $ .port) }}
{{- if ne $bound (toString (int .port)) }}
{{- $pairs = append $pairs (printf "%d=%s" (int .port) $bound) }}
{{- end }}
{{- end }}
{{- join "," $pairs }}
{{- end }}
