"""What is opened for a population: which runner, with which secrets, read when they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from modelecology import opening
from modelecology.api.population import Population
from modelecology.engines.port import EngineRefused
from modelecology.jobs.kuberay import KubeRayRunner
from modelecology.jobs.ray_jobs import RayJobsRunner
from modelecology.options import Options, parse
from modelecology.store import KeyUnusable
from modelecology.store.local_files import LocalFiles
from modelecology.store.object_files import ObjectFiles
from tests.jobs.populations import population


def _options(folder: Path) -> Options:
    return parse(["--secrets", str(folder), "--job-image", "example.org/workload:1"])


def _on_ray(**ray: Any) -> Population:
    body = population().model_dump(mode="json", by_alias=True, exclude_unset=True)
    body["spec"]["jobs"] = {"runner": "RayJobs", "ray": {"address": "http://ray:8265", **ray}}
    return Population.model_validate(body)


def test_the_log_is_signed_where_a_key_is_named_and_one_that_is_missing_is_told_at_once(
    tmp_path: Path,
) -> None:
    assert opening.log_signer(_options(tmp_path)) is None
    with pytest.raises(KeyUnusable, match="cannot be read"):
        opening.log_signer(parse(["--log-key-file", str(tmp_path / "key.pem")]))
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    sign = opening.log_signer(parse(["--log-key-file", str(tmp_path / "key.pem")]))
    assert sign is not None
    assert len(bytes.fromhex(sign(b"a").value)) == 64


async def test_each_runner_is_opened_by_its_name(tmp_path: Path) -> None:
    open_runner = opening.runners(_options(tmp_path))
    on_ray, on_kuberay = open_runner(_on_ray()), open_runner(population())
    assert isinstance(on_ray, RayJobsRunner)
    assert isinstance(on_kuberay, KubeRayRunner)
    await on_ray.close()
    await on_kuberay.close()


async def test_an_engine_is_sent_the_token_of_its_secret_as_it_is_now(tmp_path: Path) -> None:
    seen: list[str] = []

    async def models(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.json_response({"data": []})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    asks = population(serving={"tokenSecretRef": {"name": "engine", "key": "bearer"}})
    open_engine = opening.engines(_options(tmp_path))
    async with TestServer(app) as server:
        engine = open_engine(asks, str(server.make_url("")).rstrip("/"))
        with pytest.raises(EngineRefused, match=r"mount the Secret of serving\.tokenSecretRef"):
            await engine.models()
        secret = tmp_path / "team-a" / "engine"
        secret.mkdir(parents=True)
        for token in ("first", "second\n"):
            (secret / "bearer").write_text(token)
            await engine.models()
        (secret / "bearer").write_text("")
        with pytest.raises(EngineRefused, match="is empty or holds spaces"):
            await engine.models()
        await engine.close()
        open_one = open_engine(population(), str(server.make_url("")).rstrip("/"))
        await open_one.models()
        await open_one.close()
    assert seen == ["Bearer first", "Bearer second", ""]


def test_a_store_is_opened_by_its_scheme(tmp_path: Path) -> None:
    open_store = opening.stores(_options(tmp_path))
    bucket = {"uri": "s3://bucket/prefix", "s3": {"credentialsSecretRef": {"name": "store-credentials"}}}
    assert isinstance(open_store(population()).files, LocalFiles)
    assert isinstance(open_store(population(store=bucket)).files, ObjectFiles)
