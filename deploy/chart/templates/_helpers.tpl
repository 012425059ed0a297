{{- define "coffre.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "coffre.selector" -}}
app.kubernetes.io/name: coffre
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "coffre.labels" -}}
{{ include "coffre.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: coffre
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "coffre.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* What every pod must be for PodSecurity "restricted" and OpenShift's restricted-v2. */}}
{{- define "coffre.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- if not .Values.openshift }}
runAsUser: 65532
runAsGroup: 0
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end -}}

{{- define "coffre.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The variables of a process: a dict of the root (top), its duty ("" for one that serves) and
its place at PostgreSQL (keys). */}}
{{- define "coffre.env" -}}
{{- $v := .top.Values -}}
- {name: TMPDIR, value: /tmp}
- {name: COFFRE_STORE, value: {{ $v.postgres.address | quote }}}
- {name: COFFRE_READMODELS, value: {{ $v.postgres.address | quote }}}
- {name: COFFRE_KEYS, value: {{ .keys.address | quote }}}
- {name: PGPASSFILE, value: /run/secrets/postgres/pgpass}
{{- if $v.postgres.caSecret }}
- {name: PGSSLROOTCERT, value: /run/secrets/postgres-ca/ca.crt}
{{- end }}
- {name: COFFRE_VAULT_ADDR, value: {{ $v.vault.address | quote }}}
- {name: COFFRE_VAULT_MOUNT, value: {{ $v.vault.mount | quote }}}
- {name: COFFRE_VAULT_AUTH, value: {{ $v.vault.auth }}}
{{- with $v.vault.authMount }}
- {name: COFFRE_VAULT_AUTH_MOUNT, value: {{ . | quote }}}
{{- end }}
{{- with $v.vault.namespace }}
- {name: COFFRE_VAULT_NAMESPACE, value: {{ . | quote }}}
{{- end }}
{{- if $v.vault.caSecret }}
- {name: COFFRE_VAULT_CA_FILE, value: /run/secrets/vault-ca/ca.crt}
{{- end }}
{{- range $duty := list "" .duty | uniq }}
{{- $prefix := printf "COFFRE_VAULT_%s" (ternary "" (printf "%s_" (upper $duty)) (eq $duty "")) }}
{{- $identity := $duty | default "application" }}
- {name: {{ $prefix }}ROLE, value: {{ get $v.vault.roles $identity | quote }}}
{{- if eq $v.vault.auth "kubernetes" }}
- {name: {{ $prefix }}TOKEN_FILE, value: /run/secrets/vault/token}
{{- else }}
- {name: {{ $prefix }}SECRET_ID_FILE, value: /run/secrets/vault-{{ $identity }}/secret-id}
{{- end }}
{{- end }}
{{- if $v.blobs.bucket }}
- {name: COFFRE_BLOBS, value: {{ $v.blobs.bucket | quote }}}
- {name: COFFRE_BLOBS_ENDPOINT, value: {{ $v.blobs.endpoint | quote }}}
- {name: COFFRE_BLOBS_REGION, value: {{ $v.blobs.region | quote }}}
- {name: COFFRE_BLOBS_ACCESS_KEY, valueFrom: {secretKeyRef: {name: {{ $v.blobs.secret }}, key: access-key}}}
- {name: COFFRE_BLOBS_SECRET_KEY_FILE, value: /run/secrets/blobs/secret-key}
{{- if $v.blobs.caSecret }}
- {name: COFFRE_BLOBS_CA_FILE, value: /run/secrets/blobs-ca/ca.crt}
{{- end }}
{{- end }}
{{- range $name, $value := $v.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{/* Which secrets a process has: by the same dict. A list of dicts, name of the volume and of the secret. */}}
{{- define "coffre.secrets" -}}
{{- $v := .top.Values -}}
postgres: {{ .keys.secret }}
{{- with $v.postgres.caSecret }}
postgres-ca: {{ . }}
{{- end }}
{{- with $v.vault.caSecret }}
vault-ca: {{ . }}
{{- end }}
{{- if eq $v.vault.auth "approle" }}
vault-application: {{ $v.vault.secretIds.application }}
{{- with .duty }}
vault-{{ . }}: {{ get $v.vault.secretIds . }}
{{- end }}
{{- end }}
{{- if $v.blobs.bucket }}
blobs: {{ $v.blobs.secret }}
{{- with $v.blobs.caSecret }}
blobs-ca: {{ . }}
{{- end }}
{{- end }}
{{- if eq .duty "" }}
{{- with $v.oidc.caSecret }}
oidc-ca: {{ . }}
{{- end }}
{{- if $v.webhook.url }}
webhook: {{ $v.webhook.secret }}
{{- end }}
{{- with $v.tls.secret }}
tls: {{ . }}
{{- end }}
{{- with $v.tls.clientCASecret }}
tls-clients: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "coffre.mounts" -}}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
{{- if eq .top.Values.vault.auth "kubernetes" }}
- {name: vault-token, mountPath: /run/secrets/vault, readOnly: true}
{{- end }}
{{- range $name, $secret := include "coffre.secrets" . | fromYaml }}
- {name: {{ $name }}, mountPath: /run/secrets/{{ $name }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "coffre.volumes" -}}
- {name: tmp, emptyDir: {}}
{{- if eq .top.Values.vault.auth "kubernetes" }}
- name: vault-token
  projected:
    sources:
      - serviceAccountToken: {path: token, audience: {{ .top.Values.vault.audience | quote }}, expirationSeconds: 3600}
{{- end }}
{{- range $name, $secret := include "coffre.secrets" . | fromYaml }}
- {name: {{ $name }}, secret: {secretName: {{ $secret }}}}
{{- end }}
{{- end -}}

{{- define "coffre.claim" -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata: {name: data}
  spec:
    accessModes: [ReadWriteOnce]
    resources: {requests: {storage: {{ .Values.storage.size }}}}
    {{- with .Values.storage.className }}
    storageClassName: {{ . }}
    {{- end }}
{{- end -}}
