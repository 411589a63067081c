#!/bin/sh
# sbom.sh NAME VERSION CREATED: writes /opt/modelecology/sbom.cdx.json, CycloneDX, of what is installed.
#
# cyclonedx-py lists the Python environment, debsbom the Debian packages of the base, and merges the two.
set -eu
name=$1
version=$2
created=$3
bin=/opt/tools/bin
parts=$(mktemp -d)
export PYTHONDONTWRITEBYTECODE=1
$bin/cyclonedx-py environment --output-reproducible --sv 1.6 --pyproject /opt/tools/pyproject.toml \
    -o "$parts/python.cdx.json" /opt/modelecology/bin/python
serial=$(python3 -c 'import sys, uuid; print(uuid.uuid5(uuid.NAMESPACE_URL, sys.stdin.read()))' < "$parts/python.cdx.json")
same="--sbom-type cdx --cdx-schema-version 1.6 --timestamp $created --cdx-serialnumber $serial"
$bin/debsbom generate $same --root / -o "$parts/debian"
$bin/debsbom merge $same --distro-name "$name" --distro-version "$version" -o /opt/modelecology/sbom \
    "$parts/debian.cdx.json" "$parts/python.cdx.json"
rm -r "$parts"
