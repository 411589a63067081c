{{/* How a command of modelecology.store reaches the bucket. */}}
{{- define "population.bucket" -}}
- --store={{ .Values.store.uri }}
{{- with .Values.store.s3 }}
{{- with .endpoint }}
- --endpoint={{ . }}
{{- end }}
{{- with .region }}
- --region={{ . }}
{{- end }}
{{- if .credentialsSecretRef }}
- --credentials=/var/run/secrets/store
{{- end }}
{{- end }}
{{- end }}

{{/* The bucket's credentials as files, which are read again when they change: a mount, and its volume. */}}
{{- define "population.bucketMount" -}}
{{- if (.Values.store.s3).credentialsSecretRef }}
- name: bucket
  mountPath: /var/run/secrets/store
  readOnly: true
{{- end }}
{{- end }}

{{- define "population.bucketVolume" -}}
{{- with (.Values.store.s3).credentialsSecretRef }}
- name: bucket
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items:
    - key: AWS_ACCESS_KEY_ID
      path: AWS_ACCESS_KEY_ID
    - key: AWS_SECRET_ACCESS_KEY
      path: AWS_SECRET_ACCESS_KEY
{{- end }}
{{- end }}
