{{- /* What no schema can say, because it is about two values at once. */}}
{{- define "mooring.check" -}}
{{- with .Values }}
{{- if and .github.caConfigMap .github.caSecret }}
{{- fail "github.caConfigMap and github.caSecret are both set: name one of them" }}
{{- end }}
{{- range $name, $route := dict "ingress" .ingress "httpRoute" .httpRoute }}
{{- if $route.enabled }}
{{- $url := urlParse $.Values.gateway.url }}
{{- if not $url.host }}
{{- fail (printf "%s.enabled needs gateway.url: it is the host of the route" $name) }}
{{- end }}
{{- if $url.path }}
{{- fail (printf "%s.enabled: gateway.url has the path %s, which a route of this chart does not take away; make one of your own" $name $url.path) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .httpRoute.enabled (not .httpRoute.parentRefs) }}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs: name the Gateway" }}
{{- end }}
{{- if and (not .settings.development) (or (hasPrefix "http://" .github.apiUrl) (hasPrefix "http://" .gateway.url)) }}
{{- fail "github.apiUrl and gateway.url must be https; plain http needs settings.development" }}
{{- end }}
{{- end }}
{{- end }}

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

{{- /* The host of gateway.url, without a port. */}}
{{- define "mooring.host" -}}
{{ regexReplaceAll ":[0-9]+$" (urlParse .Values.gateway.url).host "" }}
{{- end }}

{{- /* The ports at which GitHub is asked, as JSON. */}}
{{- define "mooring.githubPorts" -}}
{{- $own := regexFind ":[0-9]+$" (urlParse .Values.github.apiUrl).host | trimPrefix ":" }}
{{- $scheme := ternary 80 443 (hasPrefix "http://" .Values.github.apiUrl) }}
{{- $ports := list (ternary (int $own) $scheme (ne $own "")) }}
{{- range .Values.networkPolicy.githubPorts }}{{ $ports = append $ports (int .) }}{{ end }}
{{- append $ports 443 | uniq | toJson }}
{{- end }}
