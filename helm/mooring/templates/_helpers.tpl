{{- define "mooring.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "mooring.selector" -}}
app.kubernetes.io/name: mooring
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- define "mooring.labels" -}}
{{ include "mooring.selector" . }}
app.kubernetes.io/part-of: mooring
{{- end }}

{{- /* What the restricted Pod Security Standard asks of a Pod, and of each container. */}}
{{- define "mooring.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "mooring.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* No pod mounts a token by itself, so that a container has its own and no other. */}}
{{- define "mooring.accountVolume" -}}
name: account
projected:
  defaultMode: 0440
  sources:
    - serviceAccountToken: {path: token, expirationSeconds: 3607}
    - configMap:
        name: kube-root-ca.crt
        items: [{key: ca.crt, path: ca.crt}]
    - downwardAPI:
        items: [{path: namespace, fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}]
{{- end }}

{{- define "mooring.accountMount" -}}
name: account
mountPath: /var/run/secrets/kubernetes.io/serviceaccount
readOnly: true
{{- end }}

{{- /* What operator and gateway are told alike. */}}
{{- define "mooring.environment" -}}
- name: MOORING_NAMESPACE
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}
- name: MOORING_GITHUB_API_URL
  value: {{ .Values.github.apiUrl | quote }}
- name: MOORING_LOG_LEVEL
  value: {{ .Values.settings.logLevel | quote }}
{{- with .Values.watchNamespaces }}
- name: MOORING_WATCH_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
