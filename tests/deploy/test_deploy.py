"""What `deploy/` holds is whole: parsed as its own programs parse it, as far as they are installed here."""

from __future__ import annotations

import configparser
import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kith.ops.exposure import exposed
from kith.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"


def needs(program: str) -> pytest.MarkDecorator:
    """Left out where a system's program is missing; in CI its absence is a failure."""
    missing = shutil.which(program) is None and not os.environ.get("CI")
    return pytest.mark.skipif(missing, reason=f"needs {program}")


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text("utf-8"))


def test_the_containers_cannot_do_more_than_they_need() -> None:
    services = compose()["services"]
    for service in services.values():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
    assert services["kith"]["user"] == "10001:10001" and "ports" not in services["kith"]
    assert services["proxy"]["depends_on"]["kith"]["condition"] == "service_healthy"
    assert set(compose()["volumes"]) == {"data"}
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or source == "./certs" or (DEPLOY / "compose" / source).exists()


def test_the_image_runs_without_root_and_is_asked_for_its_health() -> None:
    text = (DEPLOY / "compose" / "Dockerfile").read_text("utf-8")
    last = text.rsplit("\nFROM ", 1)[1]
    assert "USER 10001:10001" in last and "HEALTHCHECK" in last and "/health/ready" in last
    assert "--require-hashes" in text


def test_the_settings_of_the_container_are_good_and_safe(tmp_path: Path) -> None:
    file = DEPLOY / "compose" / "kith.yaml"
    settings = load_settings(file)
    proxy = compose()["services"]["proxy"]["networks"]["inner"]["ipv4_address"]
    assert settings.gateway.proxies == [proxy] and settings.gateway.tls.on
    risks = exposed(tmp_path, settings.model_dump(mode="json"), yaml.safe_load(file.read_text("utf-8")))
    assert not [one.key for one in risks if one.status == "fail"]


def test_the_proxy_passes_streams_and_makes_up_no_addresses() -> None:
    text = re.sub(r"#.*", "", (DEPLOY / "nginx" / "kith.conf").read_text("utf-8"))
    assert text.count("{") == text.count("}")
    locations = dict(re.findall(r"location (?:= )?(\S+) \{(.*?)\}", text, re.DOTALL))
    assert {"/", "/v1/", "/api/models"} <= set(locations)
    for path in ("/", "/v1/", "/api/models"):
        assert "proxy_buffering off;" in locations[path] and "proxy_pass https://kith;" in locations[path]
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text and "$proxy_add_x_forwarded_for" not in text
    assert "proxy_set_header Upgrade $http_upgrade;" in text


def test_the_unit_is_hardened() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(DEPLOY / "systemd" / "kith.service", "utf-8")
    service = unit["Service"]
    assert service["DynamicUser"] == "yes" and service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes" and service["CapabilityBoundingSet"] == ""
    assert unit["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.server
@needs("systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / "kith.service").read_text("utf-8").replace("/opt/kith/bin/kith", "/bin/true")
    (tmp_path / "kith.service").write_text(text, "utf-8")
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "kith.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "kith.service" not in found.stderr, found.stderr


def test_the_launch_agent_is_a_property_list() -> None:
    with (DEPLOY / "launchd" / "org.kith.serve.plist").open("rb") as stream:
        agent = plistlib.load(stream)
    assert agent["ProgramArguments"][1:] == ["serve"] and agent["Umask"] == 0o077 and agent["KeepAlive"]


@pytest.mark.server
@needs("docker-compose")
def test_compose_understands_the_file() -> None:
    file = DEPLOY / "compose" / "compose.yaml"
    subprocess.run(["docker-compose", "-f", file, "config", "-q"], check=True, capture_output=True)


@pytest.mark.server
@needs("nginx")
def test_nginx_understands_its_file(tmp_path: Path) -> None:
    site = (DEPLOY / "nginx" / "kith.conf").read_text("utf-8").replace("kith:8787", "127.0.0.1:8787")
    site = re.sub(r".*ssl_certificate.*\n", "", site).replace("listen 443 ssl", "listen 127.0.0.1:18443")
    whole = f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off;\n{site}\n}}"
    (tmp_path / "nginx.conf").write_text(whole, "utf-8")
    subprocess.run(
        ["nginx", "-t", "-q", "-p", tmp_path, "-c", tmp_path / "nginx.conf"], check=True, capture_output=True
    )
