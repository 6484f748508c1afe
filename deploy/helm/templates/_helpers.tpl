{{- define "rocketmq.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "rocketmq.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Name servers of all pods, as clients and brokers take them. */}}
{{- define "rocketmq.nameServers" -}}
{{- $servers := list -}}
{{- range $pod := until (int .Values.replicas) -}}
{{- $servers = append $servers (printf "%s-%d.%s.%s.svc:9876" $.Release.Name $pod $.Release.Name $.Release.Namespace) -}}
{{- end -}}
{{- join ";" $servers -}}
{{- end }}
