{{- define "certfront.agentArgs" -}}
- --load-balancer={{ .Values.loadBalancer.name }}
- --namespace={{ .Values.loadBalancer.namespace }}
- --node=$(NODE)
- --directory=/var/lib/certfront
- --bind-address=0.0.0.0
- --master-socket=/var/lib/certfront/master.sock
{{- with include "certfront.portMap" . }}
- --port-map={{ . }}
{{- end }}
{{- end }}

{{- define "certfront.agentEnv" -}}
- name: NODE
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- with .Values.loadBalancer.agent.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "certfront.agentMounts" -}}
- name: state
  mountPath: /var/lib/certfront
- name: tmp
  mountPath: /tmp
{{- with .Values.loadBalancer.extraVolumeMounts }}
{{ toYaml . }}
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
