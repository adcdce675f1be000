"""What the chart renders, without a cluster: each feature, and what is refused."""

import sys
from pathlib import Path

import click.testing
import msgspec
import pytest
import yaml

from certfront import __version__, cli, config
from certfront.model.settings import Settings
from charts import render as maker
from sandbox.environment import REPOSITORY
from tests.integration.chart.conftest import CHART, HERE, KNOWN, Helm, Object, Render, absent, find

FEATURES = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))
REFUSED = sorted(path.stem for path in (HERE / "refused").glob("*.yaml"))


def values(name: str) -> str:
    return f"--values={HERE / 'values' / name}.yaml"


def settings(objects: list[Object], tmp_path: Path, name: str = "certfront") -> Settings:
    """The settings as the operator itself reads them."""
    path = tmp_path / "config.yaml"
    path.write_text(find(objects, "ConfigMap", name)["data"]["config.yaml"])
    return config.read_settings(path)


def pods(objects: list[Object]) -> list[Object]:
    return [each["spec"]["template"] for each in objects if "template" in each.get("spec", {})]


def test_everything_made_from_the_chart_is_up_to_date() -> None:
    assert maker.stale(maker.files()) == [], "make manifests"


def test_what_is_out_of_date_is_found(tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").touch()
    (tmp_path / "old.yaml").write_text("old")
    (tmp_path / "good.yaml").write_text("good")
    made = [(tmp_path / "old.yaml", "new"), (tmp_path / "good.yaml", "good")]
    assert maker.stale(made) == [tmp_path / "gone.yaml", tmp_path / "old.yaml"]


def test_plain_manifests_have_nothing_of_helm() -> None:
    for path in (REPOSITORY / "deploy").glob("*.yaml"):
        assert "helm" not in path.read_text().lower(), path


@pytest.mark.parametrize("feature", ["", *FEATURES])
def test_lint_is_strict(feature: str, helm: Helm) -> None:
    helm("lint", "--strict", str(CHART), *([values(feature)] if feature else []))


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_values_are_refused(name: str, helm: Helm) -> None:
    path = HERE / "refused" / f"{name}.yaml"
    expected = path.read_text().splitlines()[0].removeprefix("# ")
    answer = helm("template", "certfront", str(CHART), f"--values={path}", code=1).stderr
    assert expected in answer


@pytest.mark.parametrize("feature", ["", *FEATURES])
def test_the_operator_reads_its_settings(feature: str, render: Render, tmp_path: Path) -> None:
    """Every setting is there, so that what is in force can be read in the ConfigMap."""
    objects = render(*([values(feature)] if feature else []))
    name = {"names": "tls", "words": "true"}.get(feature, "certfront")
    read = settings(objects, tmp_path, name)
    assert read.namespace == "certfront"
    written = yaml.safe_load(find(objects, "ConfigMap", name)["data"]["config.yaml"])
    assert set(written) == {field.encode_name for field in msgspec.structs.fields(Settings)}


def _accepted(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sub-command, if the command line takes them; it is not run."""
    ran: list[str] = []
    for name, command in cli.main.commands.items():
        monkeypatch.setattr(command, "callback", lambda name=name, **_: ran.append(name))
    result = click.testing.CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 0, result.output
    return ran


@pytest.mark.parametrize("feature", ["", *FEATURES])
def test_the_command_line_takes_the_arguments(
    feature: str, render: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []
    for pod in pods(render(*([values(feature)] if feature else []))):
        spec = pod["spec"]
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            if container["name"] != "haproxy":
                checked += _accepted(container["args"], monkeypatch)
    with_agents = feature not in ("no-load-balancer", "own-defaults")
    assert checked == (["operator", "agent", "agent"] if with_agents else ["operator"])


def test_a_wrong_argument_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="No such option"):
        _accepted(["operator", "--confg=x"], monkeypatch)


def test_the_defaults(render: Render, tmp_path: Path) -> None:
    objects = render(KNOWN)
    read = settings(objects, tmp_path)
    assert (read.default_issuer, read.default_load_balancer) == ("edge/letsencrypt", "edge/haproxy")
    assert read.watch_namespaces == ()
    assert absent(objects, "Issuer"), "needs an email, and the terms agreed to"
    balancer = find(objects, "LoadBalancer", "haproxy", "edge")
    assert balancer["spec"] == {"type": "HAProxy", "haproxy": {"minNodes": 1}}
    assert find(objects, "Deployment", "certfront")["spec"]["replicas"] == 2
    assert find(objects, "StatefulSet", "haproxy", "edge")["spec"]["replicas"] == 2
    for kind in ("NetworkPolicy", "ServiceMonitor", "PodMonitor"):
        assert absent(objects, kind)


def test_an_email_alone_makes_no_issuer(render: Render) -> None:
    assert absent(render(KNOWN, values("email-only")), "Issuer")


def test_the_issuer_and_both_grants(render: Render) -> None:
    objects = render(KNOWN, values("issuer"))
    grant = find(objects, "LoadBalancer", "haproxy")["spec"]["grants"][0]
    issuer = find(objects, "Issuer", "letsencrypt", "edge")["spec"]
    assert grant["backendCIDRs"] == ["10.0.0.0/8"]
    assert issuer["grants"] == [{key: grant[key] for key in ("namespaces", "hostnames")}]
    assert issuer["acme"]["termsOfServiceAgreed"] is True
    assert issuer["acme"]["caBundle"].startswith("-----BEGIN")


def test_defaults_come_as_hooks_only_where_their_kinds_are_new(render: Render) -> None:
    """And then they carry what lets the release take them over when it is upgraded."""
    for arguments, hook in ((KNOWN,), False), ((), True):
        objects = render(*arguments, values("issuer"))
        for kind, name in ("LoadBalancer", "haproxy"), ("Issuer", "letsencrypt"):
            metadata = find(objects, kind, name)["metadata"]
            assert metadata["annotations"]["helm.sh/resource-policy"] == "keep"
            assert ("helm.sh/hook" in metadata["annotations"]) is hook
            assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"
            owner = metadata["annotations"].get("meta.helm.sh/release-name")
            assert owner == ("certfront" if hook else None)


def test_the_kinds_are_those_of_crds(render: Render) -> None:
    objects = [each for each in render() if each["kind"] == "CustomResourceDefinition"]
    expected = [yaml.safe_load(path.read_text()) for path in (REPOSITORY / "crds").glob("*.yaml")]
    assert len(objects) == len(expected) == 4
    for each in expected:
        made = find(objects, "CustomResourceDefinition", each["metadata"]["name"])
        assert made["spec"] == each["spec"]
        assert made["metadata"]["labels"].items() >= each["metadata"]["labels"].items()
        assert made["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_kinds_can_go_with_the_chart(render: Render) -> None:
    objects = render(values("names"))
    metadata = find(objects, "CustomResourceDefinition", "issuers.certfront.io")["metadata"]
    assert metadata["annotations"] == {"argocd.argoproj.io/sync-options": "Prune=false"}
    assert metadata["labels"]["owner"] == "platform"


def test_names(render: Render) -> None:
    objects = render(values("names"))
    deployment = find(objects, "Deployment", "tls")
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == "tls-operator"
    agents = find(objects, "StatefulSet", "haproxy")["spec"]["template"]["spec"]
    assert agents["serviceAccountName"] == "existing"
    assert find(objects, "RoleBinding", "tls-agent")["subjects"][0]["name"] == "existing"
    accounts = [each for each in objects if each["kind"] == "ServiceAccount"]
    assert [each["metadata"]["name"] for each in accounts] == ["tls-operator"]


def _unquoted(value: object, path: str = "") -> list[str]:
    """Where a name, or a label, is something else than text."""
    if isinstance(value, dict):
        named = [
            f"{path}/{key}"
            for key, each in value.items()
            if (
                key in ("name", "namespace", "serviceAccountName", "targetPort")
                or "labels" in path.lower()
            )
            and not isinstance(each, str | dict)
        ]
        return named + [
            found for key, each in value.items() for found in _unquoted(each, f"{path}/{key}")
        ]
    if isinstance(value, list):
        return [found for each in value for found in _unquoted(each, path)]
    return []


def test_names_that_yaml_takes_for_something_else_stay_text(render: Render) -> None:
    """Namespaces may be called 123, on or null: unquoted those are a number, true and nothing."""
    objects = render(KNOWN, values("words"), "--set=crds.enabled=false")
    assert [found for each in objects for found in _unquoted(each, each["kind"])] == []
    for namespace in ("123", "null", "on"):
        find(objects, "Role", "true-operator", namespace)
    agents = find(objects, "StatefulSet", "off", "123")["spec"]["template"]["spec"]
    assert agents["serviceAccountName"] == "0"
    assert [port["name"] for port in agents["containers"][1]["ports"]] == ["on", "y"]
    policy = find(objects, "NetworkPolicy", "off", "123")["spec"]["ingress"][0]["ports"]
    assert [port["port"] for port in policy] == ["health", "on", "y"]
    find(objects, "Issuer", "null", "123")
    find(objects, "ServiceAccount", "1e3", "certfront")


def test_nodes_may_be_made_elsewhere(render: Render) -> None:
    objects = render(KNOWN, "--set=loadBalancer.replicas=0,loadBalancer.minNodes=3")
    assert find(objects, "LoadBalancer", "haproxy")["spec"]["haproxy"]["minNodes"] == 3


def test_rights_by_namespace(render: Render, tmp_path: Path) -> None:
    """The same rules in each namespace; cluster-wide there is only the reading of namespaces."""
    objects = render(values("namespaces"))
    assert settings(objects, tmp_path).watch_namespaces == ("blog", "edge", "shop")
    everywhere = find(render(), "ClusterRole", "certfront-operator")["rules"]
    of_namespaces = find(objects, "ClusterRole", "certfront-namespaces")["rules"]
    for namespace in ("blog", "edge", "shop"):
        rules = find(objects, "Role", "certfront-operator", namespace)["rules"]
        assert rules + of_namespaces == everywhere
        find(objects, "RoleBinding", "certfront-operator", namespace)
    bound = [each for each in objects if each["kind"] == "ClusterRoleBinding"]
    assert [each["roleRef"]["name"] for each in bound] == ["certfront-namespaces"]


def test_without_a_load_balancer(render: Render, tmp_path: Path) -> None:
    objects = render(KNOWN, values("no-load-balancer"))
    for kind in ("LoadBalancer", "StatefulSet", "Namespace", "Issuer"):
        assert absent(objects, kind)
    read = settings(objects, tmp_path)
    assert (read.default_issuer, read.default_load_balancer) == ("", "")


def test_defaults_made_elsewhere(render: Render, tmp_path: Path) -> None:
    read = settings(render(values("own-defaults")), tmp_path)
    assert read.default_issuer == "platform/private"
    assert read.default_load_balancer == "platform/front"
    assert (read.installation_id, read.issuance) == ("blue", "AdoptOnly")
    assert read.allow_endpoints == ("127.0.0.0/8", "::1/128")


def test_ports_without_the_sysctl(render: Render, tmp_path: Path) -> None:
    objects = render(KNOWN, values("load-balancer"))
    spec = find(objects, "StatefulSet", "web", "front")["spec"]["template"]["spec"]
    assert "sysctls" not in spec["securityContext"]
    agent, haproxy = spec["containers"]
    assert "--port-map=443=8443,80=8080" in agent["args"]
    assert "--port-map=443=8443,80=8080" in spec["initContainers"][0]["args"]
    bound = {port["name"]: port["containerPort"] for port in haproxy["ports"]}
    assert bound == {"https": 8443, "http": 8080, "admin": 9443}
    service = find(objects, "Service", "web", "front")["spec"]
    assert service["type"] == "NodePort"
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [
        (443, "https"),
        (80, "http"),
        (9443, "admin"),
    ]
    balancer = find(objects, "LoadBalancer", "web", "front")["spec"]
    assert balancer["haproxy"]["minNodes"] == 3
    assert balancer["probeAddress"] == "192.0.2.1"
    assert settings(objects, tmp_path).default_load_balancer == "front/web"


def test_monitors_select_the_metrics_service(render: Render) -> None:
    objects = render(values("monitoring"))
    service = find(objects, "Service", "certfront-metrics")
    monitor = find(objects, "ServiceMonitor", "certfront")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    others = [each for each in objects if each["kind"] == "Service" and each != service]
    assert not [each for each in others if wanted.items() <= each["metadata"]["labels"].items()]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    pod = find(objects, "Deployment", "certfront")["spec"]["template"]
    watched = find(objects, "PodMonitor", "certfront")["spec"]
    assert watched["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    assert ports["metrics"] == 9500


def test_network_policies(render: Render) -> None:
    objects = render(values("network-policy"))
    operator = find(objects, "NetworkPolicy", "certfront")["spec"]
    named = {port["port"] for rule in operator["ingress"] for port in rule["ports"]}
    assert named == {"health", "challenges", "metrics"}
    assert operator["ingress"][-1]["from"]
    agents = find(objects, "NetworkPolicy", "haproxy", "edge")["spec"]
    assert agents["policyTypes"] == ["Ingress"], "farms decide where traffic goes"


def test_what_can_be_switched_off(render: Render, tmp_path: Path) -> None:
    objects = render(KNOWN, values("quiet"))
    left = {each["kind"] for each in objects}
    assert left == {
        "ServiceAccount",
        "ConfigMap",
        "Deployment",
        "StatefulSet",
        "Service",
        "LoadBalancer",
    }
    read = settings(objects, tmp_path)
    assert (read.metrics_address, read.solver_address) == ("", "")


def test_extras(render: Render) -> None:
    objects = render(KNOWN, values("extras"))
    assert all(
        each["metadata"]["labels"]["team"] == "platform"
        for each in objects
        if each["kind"] != "ConfigMap" or "config.yaml" in each.get("data", {})
    )
    for pod in pods(objects):
        assert pod["metadata"]["labels"]["team"] == "platform"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert find(objects, "ConfigMap", "certfront-extra")["data"] == {"release": "certfront"}
    find(objects, "ConfigMap", "certfront-text")
    operator = find(objects, "Deployment", "certfront")["spec"]["template"]
    assert operator["spec"]["priorityClassName"] == "system-cluster-critical"
    assert operator["spec"]["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    assert operator["spec"]["tolerations"][0]["key"] == "infra"
    assert operator["spec"]["affinity"] == {"podAntiAffinity": {}}
    assert operator["metadata"]["labels"]["network"] == "outside"
    zone = operator["spec"]["topologySpreadConstraints"][0]["topologyKey"]
    assert zone == "topology.kubernetes.io/zone"
    for pod in pods(objects):
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in pod["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert "cas" in {mount["name"] for mount in container["volumeMounts"]}


def test_images(render: Render) -> None:
    objects = render(values("images"))
    spec = find(objects, "StatefulSet", "haproxy")["spec"]["template"]["spec"]
    images = [each["image"] for each in (*spec["initContainers"], *spec["containers"])]
    ours = "registry.example.com/certfront@sha256:" + "0123456789abcdef" * 4
    assert images == [ours, ours, "mirror.example.com/haproxy:3.0"]
    assert spec["imagePullSecrets"] == [{"name": "shared"}]
    [plain] = find(render(), "Deployment", "certfront")["spec"]["template"]["spec"]["containers"]
    assert plain["image"] == "certfront:0.1.0"


def test_changed_settings_begin_with_new_pods(render: Render) -> None:
    def checksum(*arguments: str) -> str:
        template = find(render(*arguments), "Deployment", "certfront")["spec"]["template"]
        found: str = template["metadata"]["annotations"]["checksum/config"]
        return found

    assert checksum() == checksum("--set=operator.replicas=3")
    assert checksum() != checksum("--set=settings.issuance=AdoptOnly")


def test_user_rights_are_aggregated(render: Render) -> None:
    objects = render()
    edit = find(objects, "ClusterRole", "certfront-edit")
    written = {name for rule in edit["rules"] for name in rule["resources"]}
    assert written == {"certificates", "loadbalancerfrontends"}
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    names = {each["metadata"]["name"] for each in render("--set=rbac.aggregateUserRoles=false")}
    assert "certfront-edit" not in names


def test_selectors_find_the_pods_and_no_others(render: Render) -> None:
    """With two releases in a namespace, too."""
    objects = render(values("network-policy"))
    templates = [each["metadata"]["labels"] for each in pods(objects)]
    for each in objects:
        selector = each.get("spec", {}).get("selector") or each.get("spec", {}).get("podSelector")
        if selector:
            wanted = selector.get("matchLabels", selector)
            matching = [labels for labels in templates if wanted.items() <= labels.items()]
            assert len(matching) == 1, each["metadata"]["name"]
            assert wanted["app.kubernetes.io/instance"] == "certfront"


@pytest.mark.parametrize(
    ("arguments", "said", "unsaid"),
    [
        ((), ["default Issuer edge/letsencrypt is not made", "nothing is granted"], ["no default"]),
        ((values("issuer"),), [], ["MISSING"]),
        ((values("no-load-balancer"),), ["no default LoadBalancer", "no default Issuer"], []),
        ((values("own-defaults"),), ["issuance is AdoptOnly"], ["MISSING"]),
        ((values("quiet"),), ["crds.enabled is false", "rbac.create is false"], []),
    ],
    ids=["defaults", "complete", "no-load-balancer", "own-defaults", "quiet"],
)
def test_the_notes_say_what_is_missing(
    arguments: tuple[str, ...], said: list[str], unsaid: list[str], helm: Helm
) -> None:
    text = helm(
        "install", "certfront", str(CHART), "-n", "certfront", "--dry-run=client", *arguments
    ).stdout
    notes = " ".join(text.partition("NOTES:")[2].split())
    assert notes
    assert [each for each in said if each not in notes] == []
    assert [each for each in unsaid if each in notes] == []


def test_the_version_is_that_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    images = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    given = yaml.safe_load((CHART / "values.yaml").read_text())
    haproxy = given["loadBalancer"]["haproxy"]["image"]
    assert [each["image"] for each in images] == [
        f"certfront:{__version__}",
        f"{haproxy['repository']}:{haproxy['tag']}",
    ]


def test_the_chart_says_which_kinds_it_has() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    told = {each["name"] for each in yaml.safe_load(chart["annotations"]["artifacthub.io/crds"])}
    kinds = {
        yaml.safe_load(path.read_text())["metadata"]["name"]
        for path in (REPOSITORY / "crds").glob("*.yaml")
    }
    assert told == kinds


def test_packaging(helm: Helm, tmp_path: Path) -> None:
    """Nothing is lost on the way into the archive."""
    helm("package", str(CHART), "-d", str(tmp_path))
    [archive] = tmp_path.glob("certfront-*.tgz")
    packed = helm("template", "certfront", str(archive)).stdout
    assert packed == helm("template", "certfront", str(CHART)).stdout


def test_check_only_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, extra = tmp_path / "old.yaml", tmp_path / "extra.yaml"
    old.write_text("old")
    extra.write_text("extra")
    monkeypatch.setattr(maker, "REPOSITORY", tmp_path)
    monkeypatch.setattr(maker, "files", lambda: iter([(old, "new")]))
    monkeypatch.setattr(sys, "argv", ["render.py", "--check"])
    assert maker.main() == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split()[3] for line in told] == ["extra.yaml", "old.yaml"]
    assert (old.read_text(), extra.read_text()) == ("old", "extra")
    monkeypatch.setattr(sys, "argv", ["render.py"])
    assert maker.main() == 0
    assert (old.read_text(), extra.exists()) == ("new", False)
