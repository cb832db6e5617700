"""The same rights as a template of the Helm chart: names and namespaces come from its values, and nothing else does."""

from mooring import rbac

FILE = "rbac.yaml"
# `$` is what a template begins with, also where `.` is one of the namespaces. No quotes: these stand in quotes.
NAMESPACE = "{{ $.Release.Namespace }}"
OPERATOR = "{{ $.Values.serviceAccount.operatorName }}"
GATEWAY = "{{ $.Values.serviceAccount.gatewayName }}"
POLICY = "{{ $.Values.policy.configMap }}"
APP = "{{ $.Values.github.appSecret }}"
ONE = "{{ . }}"


def files() -> dict[str, str]:
    """Every generated template by its name."""
    manifests = rbac.documents_by_file(NAMESPACE, OPERATOR, GATEWAY, watched=ONE, policy=POLICY, app=APP)
    account, *confining = manifests["gateway.yaml"]
    parts = [
        _joined(manifests["operator.yaml"], (account,)),
        "{{- if $.Values.admissionPolicy.install }}\n",
        _joined(tuple(confining)),
        "{{- end }}\n",
        "{{- if $.Values.watchNamespaces }}\n{{- range $.Values.watchNamespaces }}\n",
        _joined(manifests["namespaced.yaml"], manifests["gateway-namespaced.yaml"]),
        "{{- end }}\n{{- else }}\n",
        _joined(manifests["cluster-wide.yaml"], manifests["gateway-cluster-wide.yaml"]),
        "{{- end }}\n",
    ]
    return {FILE: rbac.HEADER + "".join(parts)}


def _joined(*files: tuple[str, ...]) -> str:
    return "".join(f"---\n{document}" for file in files for document in file)
