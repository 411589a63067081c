{{/* What the operator may do: no Secret, no wildcard. manifests/operator and manifests/components say the same. */}}
{{- define "modelecology.rules" -}}
- apiGroups: [modelecology.io]
  resources: [populations, specialists]
  verbs: [list, watch, patch]
- apiGroups: [modelecology.io]
  resources: [populations/status, specialists/status]
  verbs: [patch]
- apiGroups: [modelecology.io]
  resources: [evaluationsuites]
  verbs: [list, watch]
- apiGroups: [modelecology.io]
  resources: [decisions]
  verbs: [list, create, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if .Values.kubeRay.enabled }}
- apiGroups: [ray.io]
  resources: [rayjobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [ray.io]
  resources: [rayclusters]
  verbs: [get]
{{- end }}
{{- if .Values.gateway.enabled }}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, patch]
{{- end }}
{{- if .Values.endpointSlices.enabled }}
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end }}
{{- end }}

{{/* What taking finalizers off needs. */}}
{{- define "modelecology.releaseRules" -}}
- apiGroups: [modelecology.io]
  resources: [populations, specialists]
  verbs: [list, patch]
{{- end }}

{{/*
Grants rules to a service account: in the whole cluster, or in each watched namespace.
root, name, account, rules; annotations may be empty.
*/}}
{{- define "modelecology.grant" -}}
{{- $cluster := eq .root.Values.scope "Cluster" }}
{{- $namespaces := $cluster | ternary (list "") (include "modelecology.namespaces" .root | fromJsonArray) }}
{{- range $namespace := $namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $cluster | ternary "ClusterRole" "Role" }}
metadata:
  {{- include "modelecology.grantMetadata" (dict "at" $namespace "grant" $) | nindent 2 }}
rules:
  {{- $.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $cluster | ternary "ClusterRoleBinding" "RoleBinding" }}
metadata:
  {{- include "modelecology.grantMetadata" (dict "at" $namespace "grant" $) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $cluster | ternary "ClusterRole" "Role" }}
  name: {{ $.name }}
subjects:
- kind: ServiceAccount
  name: {{ $.account }}
  namespace: {{ $.root.Release.Namespace }}
{{- end }}
{{- end }}

{{- define "modelecology.grantMetadata" -}}
name: {{ .grant.name }}
{{- with .at }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "modelecology.labels" .grant.root | nindent 2 }}
{{- with .grant.annotations }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}
