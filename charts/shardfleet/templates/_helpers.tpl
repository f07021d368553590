{{- define "shardfleet.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "shardfleet.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "shardfleet.labels" -}}
app.kubernetes.io/name: shardfleet
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Of the operator's pods; a fleet's NetworkPolicy lets in what has this component. */}}
{{- define "shardfleet.operatorLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: shardfleet-operator
{{- end }}

{{- define "shardfleet.redisLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: redis
{{- end }}

{{- define "shardfleet.redisName" -}}
{{ include "shardfleet.name" . }}-redis
{{- end }}

{{/* The Secret with the URL of the Redis for fleets that name none; empty for none. */}}
{{- define "shardfleet.redisSecret" -}}
{{- if .Values.redis.existingSecret }}{{ .Values.redis.existingSecret }}{{ else if .Values.redis.enabled }}{{ include "shardfleet.redisName" . }}{{ end }}
{{- end }}

{{- define "shardfleet.mapLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: map
{{- end }}

{{/* The name of all that is the map's; empty where there is none. Without a Redis of the chart's there is nothing to see. */}}
{{- define "shardfleet.mapName" -}}
{{- if and .Values.map.enabled (include "shardfleet.redisSecret" .) }}{{ include "shardfleet.name" . }}-map{{ end }}
{{- end }}

{{/* What the restricted Pod Security level asks for. */}}
{{- define "shardfleet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "shardfleet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Exactly what the operator calls; a test compares it with the code. */}}
{{- define "shardfleet.operatorRules" -}}
- apiGroups: [shardfleet.dev]
  resources: [shardfleets]
  verbs: [get, list, watch, patch{{ if .Values.fleets.deleteOnUninstall }}, delete{{ end }}]
- apiGroups: [shardfleet.dev]
  resources: [shardfleets/status]
  verbs: [patch]
- apiGroups: [shardfleet.dev]
  resources: [shardfleets/finalizers] # its children name it as their owner and block its deletion
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments] # of fleets' own maps
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "shardfleet.fleetReading" }}
- apiGroups: [shardfleet.dev]
  resources: [shardfleets, shardfleets/status, shardfleets/scale]
  verbs: [get, list, watch]
{{- end }}
