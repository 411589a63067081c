{{/* The Population's name, and what other names begin with; a served name of 63 characters is made from it. */}}
{{- define "population.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 44 | trimSuffix "-" }}
{{- end }}

{{- define "population.suite" -}}
{{- .Values.suite.name | default (include "population.name" .) }}
{{- end }}

{{- define "population.claim" -}}
{{- .Values.store.volume.claim | default (printf "%s-store" (include "population.name" .)) }}
{{- end }}

{{/* Directory of a file:// store; empty for a bucket. */}}
{{- define "population.storePath" -}}
{{- if hasPrefix "file://" .Values.store.uri }}{{ trimPrefix "file://" .Values.store.uri }}{{ end }}
{{- end }}

{{/* Where the engine finds the generalist: where it lies, or where it is laid from a bucket. */}}
{{- define "population.modelPath" -}}
{{- $model := .Values.generalist.model }}
{{- if .Values.engine.modelPath }}
{{- .Values.engine.modelPath }}
{{- else if hasPrefix "file://" $model }}
{{- trimPrefix "file://" $model }}
{{- else }}
{{- printf "%s/%s" (include "population.storePath" . | default "/var/lib/modelecology/bases") (trimPrefix "store:///" $model) }}
{{- end }}
{{- end }}

{{/* Whether the generalist comes out of the bucket. */}}
{{- define "population.fetchesModel" -}}
{{- if and (hasPrefix "s3://" .Values.store.uri) (hasPrefix "store:///" .Values.generalist.model) (not .Values.engine.modelPath) -}}
yes
{{- end }}
{{- end }}

{{- define "population.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: engine
{{- end }}

{{- define "population.gatewaySelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "population.judgeSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: judge
{{- end }}

{{/* Directory of the gateway's records; empty where it keeps none. */}}
{{- define "population.recordsPath" -}}
{{- with .Values.gateway.records }}
{{- if and (eq .place "Store") (include "population.storePath" $) }}{{ printf "%s/%s" (include "population.storePath" $) .folder }}
{{- else if ne .place "None" }}/var/lib/modelecology/records
{{- end }}
{{- end }}
{{- end }}

{{- define "population.labels" -}}
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

{{/* An image by repository and tag or digest: (list root image). */}}
{{- define "population.image" -}}
{{- $root := index . 0 }}
{{- with index . 1 }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* Addresses of all engines, as a JSON list: each replica has a name of its own. */}}
{{- define "population.endpoints" -}}
{{- $name := include "population.name" . }}
{{- $endpoints := .Values.engine.endpoints }}
{{- if .Values.engine.create }}
{{- range until (int .Values.engine.replicas) }}
{{- $host := printf "%s-engine-%d.%s-engine-replicas.%s.svc" $name . $name $.Release.Namespace }}
{{- $endpoints = append $endpoints (printf "http://%s:%v" $host $.Values.engine.port) }}
{{- end }}
{{- end }}
{{- $endpoints | toJson }}
{{- end }}

{{/* The operator as a peer of a policy. */}}
{{- define "population.operatorPeer" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: modelecology
      app.kubernetes.io/component: operator
{{- with .Values.networkPolicy.operatorNamespace }}
  namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ . }}
{{- end }}
{{- end }}

{{/* The PodSpec of jobs: the store on its volume, and what the user lays over it. */}}
{{- define "population.jobPodSpec" -}}
{{- $spec := dict }}
{{- with include "population.storePath" . }}
{{- $mount := dict "name" "store" "mountPath" . }}
{{- $claim := dict "claimName" (include "population.claim" $) }}
{{- $_ := set $spec "containers" (list (dict "name" "ray-head" "volumeMounts" (list $mount))) }}
{{- $_ := set $spec "volumes" (list (dict "name" "store" "persistentVolumeClaim" $claim)) }}
{{- end }}
{{- mergeOverwrite $spec (deepCopy .Values.jobs.podSpec) | toJson }}
{{- end }}
