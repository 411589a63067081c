"""Tests of what is shipped for Argo CD, by Argo CD itself."""

from testbed.places import REPOSITORY

MANIFESTS = REPOSITORY / "manifests" / "argocd"
