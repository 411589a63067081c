{{/* What comes before "-operator" in names. */}}
{{- define "modelecology.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name }}
{{- .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "modelecology.operator" -}}
{{ include "modelecology.fullname" . }}-operator
{{- end }}

{{- define "modelecology.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "modelecology.operator" .) }}
{{- end }}

{{/* Labels that never change, by which the operator's pod is selected. */}}
{{- define "modelecology.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "modelecology.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: modelecology
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "modelecology.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "modelecology.jobImage" -}}
{{- .Values.jobs.image | default (printf "modelecology/workload:%s" .Chart.AppVersion) }}
{{- end }}

{{/* The watched namespaces with scope Namespaced, as a JSON list. */}}
{{- define "modelecology.namespaces" -}}
{{- .Values.namespaces | default (list .Release.Namespace) | uniq | toJson }}
{{- end }}

{{/* The namespaces where jobs and engines are closed, as a JSON list. */}}
{{- define "modelecology.closedNamespaces" -}}
{{- if eq .Values.scope "Cluster" }}
{{- .Values.networkPolicy.namespaces | uniq | toJson }}
{{- else }}
{{- include "modelecology.namespaces" . }}
{{- end }}
{{- end }}

{{/* The operator as a peer of a policy in the namespace `in`. */}}
{{- define "modelecology.operatorPeer" -}}
- podSelector:
    matchLabels:
      {{- include "modelecology.selector" .root | nindent 6 }}
{{- if ne .in .root.Release.Namespace }}
  namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ .root.Release.Namespace }}
{{- end }}
{{- end }}

{{/* Where pods may run. */}}
{{- define "modelecology.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
