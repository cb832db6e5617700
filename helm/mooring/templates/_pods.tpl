{{- /* Metadata of Pods; `component` and what the values say of it. Our labels win: Services select by them. */}}
{{- define "mooring.podMetadata" -}}
labels:
  {{- merge (dict) (include "mooring.labels" .component | fromYaml) .values.podLabels | toYaml | nindent 2 }}
{{- with .values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What all Pods have in common: the restricted Pod Security Standard, and no token by itself. */}}
{{- define "mooring.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- with .Values.podSecurity.runAsUser }}
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mooring.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* What all containers have in common. */}}
{{- define "mooring.container" -}}
image: {{ include "mooring.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "mooring.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 3
  timeoutSeconds: 3
{{- end }}

{{- /* What all processes are told alike. */}}
{{- define "mooring.environment" -}}
- name: MOORING_NAMESPACE
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}
- name: MOORING_LOG_LEVEL
  value: {{ .Values.settings.logLevel | quote }}
{{- with .Values.watchNamespaces }}
- name: MOORING_WATCH_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
{{- if .Values.settings.development }}
- name: MOORING_DEVELOPMENT
  value: "true"
{{- end }}
- name: MOORING_GITHUB_API_URL
  value: {{ .Values.github.apiUrl | quote }}
{{- end }}

{{- /* The token of the Pod's account, for the containers that mount it. */}}
{{- define "mooring.accountVolume" -}}
- name: account
  projected:
    defaultMode: 288
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items: [{path: namespace, fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}]
{{- end }}

{{- define "mooring.accountMount" -}}
- {name: account, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}

{{- /* The gateway's container. In the operator's Pod it has a token that the operator gets for it. */}}
{{- define "mooring.gatewayContainer" -}}
{{- $beside := eq .Values.gateway.mode "Sidecar" -}}
- name: gateway
  {{- include "mooring.container" . | nindent 2 }}
  args: [gateway]
  env:
    {{- include "mooring.environment" . | nindent 4 }}
    - name: MOORING_WEBHOOK_DIR
      value: /etc/mooring/webhook
    {{- if $beside }}
    - name: MOORING_GATEWAY_TOKEN_DIR
      value: /var/run/secrets/kubernetes.io/serviceaccount
    {{- end }}
    {{- with .Values.gateway.trustedProxies }}
    - name: MOORING_TRUSTED_PROXIES
      value: {{ join "," . | quote }}
    {{- end }}
  ports:
    - {name: http, containerPort: 8080, protocol: TCP}
    - {name: gateway-metrics, containerPort: 8082, protocol: TCP}
  {{- include "mooring.probes" "gateway-metrics" | nindent 2 }}
  # Whoever sends meanwhile has to learn first that this Pod ends.
  lifecycle: {preStop: {sleep: {seconds: 5}}}
  resources:
    {{- toYaml .Values.gateway.resources | nindent 4 }}
  volumeMounts:
    {{- if $beside }}
    - {name: gateway-credential, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    {{- else }}
    {{- include "mooring.accountMount" . | nindent 4 }}
    {{- end }}
    - {name: webhook, mountPath: /etc/mooring/webhook, readOnly: true}
{{- end }}
