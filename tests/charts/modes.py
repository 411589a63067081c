"""The ways in which the charts are installed, as values."""

from __future__ import annotations

from .helm import Values

DIGEST = "sha256:" + "4" * 64
_PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}

_SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "ScheduleAnyway",
    "labelSelector": {"matchLabels": {"app.kubernetes.io/part-of": "modelecology"}},
}

# `default` is a namespace that every cluster has.
OPERATOR_MODES: dict[str, Values] = {
    "as it comes": {},
    "two namespaces": {"namespaces": ["desk", "default"]},
    "the whole cluster": {"scope": "Cluster"},
    "the whole cluster, with policies": {"scope": "Cluster", "networkPolicy": {"namespaces": ["default"]}},
    "as little as possible": {
        "crds": {"install": False},
        "kubeRay": {"enabled": False},
        "serviceAccount": {"create": False, "name": "mine"},
        "rbac": {"create": False, "aggregate": False},
        "actors": {"verify": False},
        "networkPolicy": {"enabled": False},
        "uninstall": {"releaseFinalizers": False},
    },
    "everything": {
        "fullnameOverride": "eco",
        "commonLabels": {"team": "platform"},
        "crds": {"keep": False},
        "image": {"digest": DIGEST, "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "jobs": {"image": "example/workload:1", "codeDigest": DIGEST},
        "kubeRay": {"namespace": "kuberay-system"},
        "gateway": {"enabled": True},
        "endpointSlices": {"enabled": True},
        "secrets": [
            {"name": "ray-token", "keys": ["token"]},
            {"name": "store", "namespace": "team", "secretName": "team-store", "keys": ["A", "B"]},
        ],
        "store": {
            "volumes": [{"name": "desk", "persistentVolumeClaim": "desk-store", "mountPath": "/srv/store"}]
        },
        "serviceAccount": {"annotations": {"example.com/identity": "modelecology"}},
        "networkPolicy": {
            "engineClients": [_PEER],
            "metricsFrom": [_PEER],
            "egress": {"enabled": True, "extra": [{"ports": [{"port": 9000}]}]},
        },
        "podDisruptionBudget": {"enabled": True},
        "actors": {"trusted": ["system:serviceaccount:argocd:argocd-server"]},
        "metrics": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
            "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Ecology"}},
        },
        "podAnnotations": {"example.com/note": "yes"},
        "podLabels": {"tier": "control"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "control", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [_SPREAD],
        "priorityClassName": "system-cluster-critical",
        "extraArgs": ["--json-logs"],
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
        "extraObjects": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "ca", "namespace": "{{ .Release.Namespace }}"},
            },
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: '{{ .Release.Namespace }}-text'}",
        ],
    },
}

POPULATION_MODES: dict[str, Values] = {
    "as it comes": {},
    "a bucket": {
        "store": {
            "uri": "s3://bucket/desk",
            "s3": {
                "endpoint": "https://s3.example:9000",
                "region": "eu-west-1",
                "credentialsSecretRef": {"name": "store"},
            },
        },
        "prepare": {"enabled": True, "command": ["python", "-m", "modelecology.store", "put"]},
    },
    "a bucket, by the pod's identity": {
        "store": {"uri": "s3://bucket/desk"},
        "generalist": {"model": "file:///models/base", "digest": DIGEST},
        "engine": {
            "serviceAccountName": "default",
            "extraVolumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
            "extraVolumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
        },
    },
    "Ray that runs already": {
        "jobs": {
            "runner": "RayJobs",
            "ray": {"address": "http://ray-head:8265", "tokenSecretRef": {"name": "ray-token"}},
        }
    },
    "a RayCluster that is there": {"jobs": {"clusterSelector": {"ray.io/cluster": "shared"}}},
    "engines that are there": {
        "engine": {"create": False, "endpoints": ["http://vllm.models.svc:8000"]},
        "store": {"volume": {"create": False, "claim": "models"}},
    },
    "another engine": {
        "engine": {
            "image": {"repository": "vllm/vllm-openai", "tag": "v0.32.0"},
            "command": ["vllm", "serve"],
            "args": ["/models/base", "--enable-lora"],
            "insecure": True,
        }
    },
    "a gateway": {"gateway": {"create": True}},
    "a gateway and a judge": {
        "gateway": {
            "create": True,
            "records": {"keep": "prompts"},
            "judge": {
                "create": True,
                "endpoint": "http://judge.models.svc:8000",
                "model": "wise",
                "tokenSecret": {"name": "judge-token"},
            },
        },
    },
    "a gateway and a judge before a bucket": {
        "store": {
            "uri": "s3://bucket/desk",
            "s3": {"endpoint": "https://s3.example:9000", "credentialsSecretRef": {"name": "store"}},
        },
        "gateway": {
            "create": True,
            "records": {"keep": "prompts", "every": "10s", "spoolMib": 64},
            "serviceAccountAnnotations": {"example.com/identity": "records"},
            "judge": {"create": True, "endpoint": "http://judge.models.svc:8000", "model": "wise"},
        },
        "mirror": {
            "env": [{"name": "SSL_CERT_FILE", "value": "/etc/ca/ca.pem"}],
            "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
        },
    },
    "a gateway before a bucket, by the pod's identity": {
        "store": {"uri": "s3://bucket/desk"},
        "gateway": {"create": True},
    },
    "a gateway that keeps its records": {
        "store": {"uri": "s3://bucket/desk"},
        "gateway": {"create": True, "records": {"place": "Pod", "keep": "hashes"}},
    },
    "a gateway for everybody, without records": {
        "engine": {"create": False, "endpoints": ["http://vllm.models.svc:8000"], "insecure": True},
        "gateway": {"create": True, "insecure": True, "replicas": 1, "records": {"place": "None"}},
        "networkPolicy": {"gatewayClients": []},
    },
    "everything": {
        "fullnameOverride": "eco",
        "commonLabels": {"team": "desk"},
        "suite": {"name": "eco-2"},
        "store": {"volume": {"claim": "eco", "storageClassName": "fast", "accessModes": ["ReadWriteOnce"]}},
        "jobs": {
            "image": "example/workload:1",
            "queue": "desk",
            "podSpec": {"nodeSelector": {"pool": "gpu"}, "tolerations": [{"operator": "Exists"}]},
            "resources": {"cpu": "4", "gpu": 1},
        },
        "engine": {
            "replicas": 3,
            "image": {"digest": DIGEST},
            "env": [{"name": "TZ", "value": "UTC"}],
            "podAnnotations": {"example.com/note": "yes"},
            "nodeSelector": {"pool": "cpu"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [_SPREAD],
            "podDisruptionBudget": {"enabled": True},
        },
        "gateway": {
            "create": True,
            "replicas": 3,
            "image": {"digest": DIGEST},
            "port": 8081,
            "generalist": "smol",
            "fallback": "Error",
            "isolate": "Cancel",
            "tokenSecret": {"name": "users", "key": "word"},
            "records": {"folder": "users", "keep": "prompts", "redact": "desk.words:clean"},
            "extraArgs": ["--mirror-queue=512"],
            "env": [{"name": "TZ", "value": "UTC"}],
            "extraVolumes": [{"name": "words", "configMap": {"name": "words"}}],
            "extraVolumeMounts": [{"name": "words", "mountPath": "/words"}],
            "podAnnotations": {"example.com/note": "yes"},
            "serviceAnnotations": {"example.com/note": "yes"},
            "nodeSelector": {"pool": "cpu"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "topologySpreadConstraints": [_SPREAD],
        },
        "prepare": {
            "enabled": True,
            "command": ["python", "-m", "modelecology.workloads", "prepare-base", "--out", "/srv"],
            "env": [{"name": "TZ", "value": "UTC"}],
            "extraVolumes": [{"name": "data", "configMap": {"name": "data"}}],
            "extraVolumeMounts": [{"name": "data", "mountPath": "/data"}],
        },
        "networkPolicy": {
            "operatorNamespace": "modelecology-system",
            "kubeRayNamespace": "kuberay-system",
            "clients": [_PEER],
            "gatewayClients": [_PEER],
        },
        "imagePullSecrets": [{"name": "pull"}],
    },
}
