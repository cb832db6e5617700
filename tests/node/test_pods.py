"""What pods on a real node can do, and what one can do with them."""

from __future__ import annotations

import json
import urllib.request

from tests.node.support import WORD, Node

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def ask(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - an address of the lab's own
        return str(answer.read().decode().strip())


def test_the_node_says_what_it_is(node: Node) -> None:
    found = json.loads(node.kubectl("get", "nodes", "--output=json"))["items"]
    assert [one["metadata"]["name"] for one in found] == ["real-1"]
    assert found[0]["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://2.")


def test_a_container_runs_as_its_image_says(node: Node) -> None:
    code = "import os; print(os.getuid(), os.getcwd(), open('/served/word').read())"
    assert node.python(code) == f"1234 /served {WORD}"


def test_a_service_answers_the_host(node: Node) -> None:
    assert ask(f"http://{node.cluster_ip('served')}/word") == WORD


def test_a_service_answers_pods_by_address_and_by_name(node: Node) -> None:
    code = "import sys, urllib.request as u; print(u.urlopen('http://{}/word', timeout=10).read().decode())"
    assert node.python(code.format(node.cluster_ip("served"))) == WORD
    assert node.python(code.format("served")) == WORD
    assert node.python(code.format("served.default.svc.cluster.local")) == WORD


def test_logs_are_the_containers_output(node: Node) -> None:
    ask(f"http://{node.cluster_ip('served')}/word?who=the-test")
    assert "GET /word?who=the-test" in node.kubectl("logs", "--selector=app=served", "--tail=-1")


def test_a_pod_reaches_the_api_server_by_its_service(node: Node) -> None:
    """By address and by name, with the certificate checked, and known by its token."""
    code = f"""
import json, os, ssl, urllib.request as u
trust = ssl.create_default_context(cafile="{SERVICE_ACCOUNT}/ca.crt")
token = open("{SERVICE_ACCOUNT}/token").read()
body = json.dumps({{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}}).encode()
for host in (os.environ["KUBERNETES_SERVICE_HOST"], "kubernetes.default.svc"):
    url = f"https://{{host}}/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {{"Authorization": f"Bearer {{token}}", "Content-Type": "application/json"}}
    answer = json.load(u.urlopen(u.Request(url, body, headers), context=trust, timeout=10))
    print(answer["status"]["userInfo"]["username"])
"""
    assert node.python(code).splitlines() == ["system:serviceaccount:default:default"] * 2


def test_a_pod_reaches_github_at_the_hosts_address(node: Node) -> None:
    """Under the very address that the host uses, with the certificate checked."""
    api = node.lab.env["MOORING_GITHUB_API_URL"]
    assert api.startswith(f"https://{node.lab.env['LAB_HOST_ADDRESS']}:")
    code = f"""
import ssl, urllib.request as u
trust = ssl.create_default_context(cafile="/github/ca.pem")
print(u.urlopen("{api}/meta", context=trust, timeout=10).status)
"""
    assert node.python(code) == "200"


def test_a_pods_files_are_not_the_hosts(node: Node) -> None:
    """Deleting a pod ends its processes; the next one starts from the image."""
    node.python("open('/tmp/mark', 'w').write('x')")
    node.kubectl("delete", "pod", "--selector=app=served", "--wait=true")
    node.available("served")
    assert node.python("import os; print(os.path.exists('/tmp/mark'))") == "False"
