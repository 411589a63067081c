{{/* Whether records go to a bucket: a container beside the gateway or the judge carries them there. */}}
{{- define "population.shipsRecords" -}}
{{- if and (eq .Values.gateway.records.place "Store") (hasPrefix "s3://" .Values.store.uri) -}}
yes
{{- end }}
{{- end }}

{{/* That container, by what a gateway or a judge tells it more: (dict "root" $ "args" list). It ends after the other, so
that the last records go too. */}}
{{- define "population.recordsShip" -}}
{{- $root := .root }}
{{- $path := include "population.recordsPath" $root }}
- name: records
  restartPolicy: Always
  image: {{ include "population.image" (list $root $root.Values.mirror.image) }}
  imagePullPolicy: {{ $root.Values.mirror.image.pullPolicy }}
  command: [python, -m, modelecology.store, ship]
  args:
  {{- include "population.bucket" $root | nindent 2 }}
  - --from={{ $path }}
  - --folder={{ $root.Values.gateway.records.folder }}
  - --every={{ $root.Values.gateway.records.every }}
  {{- range .args }}
  - {{ . }}
  {{- end }}
  livenessProbe:
    exec:
      command: [python, -m, modelecology.store, alive, --heartbeat={{ $path }}/.heartbeat, --within=10m]
    initialDelaySeconds: 30
    periodSeconds: 60
    timeoutSeconds: 30
  {{- with $root.Values.mirror.env }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.mirror.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
  - name: records
    mountPath: {{ $path }}
  - name: records-tmp
    mountPath: /tmp
  {{- with include "population.bucketMount" $root }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  {{- with $root.Values.mirror.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Its volumes: what waits for the bucket, with room for what is being written, and how the bucket is reached. */}}
{{- define "population.recordsShipVolumes" -}}
- name: records
  emptyDir:
    sizeLimit: {{ add .Values.gateway.records.spoolMib 64 }}Mi
- name: records-tmp
  emptyDir: {}
{{- with include "population.bucketVolume" . }}
{{ . | trim }}
{{- end }}
{{- with .Values.mirror.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
