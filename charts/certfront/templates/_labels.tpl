{{/* Labels that identify pods. Call with (list $ "operator"). */}}
{{- define "certfront.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "certfront.name" $root | toYaml }}
app.kubernetes.io/instance: {{ $root.Release.Name | toYaml }}
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
meta.helm.sh/release-name: {{ .Release.Name | toYaml }}
meta.helm.sh/release-namespace: {{ .Release.Namespace | toYaml }}
{{- end }}
# For Argo CD: the kinds may come with this very application.
argocd.argoproj.io/sync-options: SkipDryRunOnMissingResource=true
{{- end }}
