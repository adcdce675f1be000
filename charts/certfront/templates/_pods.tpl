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
priorityClassName: {{ . | toYaml }}
{{- end }}
{{- with concat $root.Values.imagePullSecrets $root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name") | toYaml }}
  {{- end }}
{{- end }}
{{- end }}
