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
