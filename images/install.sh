#!/bin/sh
# install.sh PINS [WHEELS]: adds what is pinned, and our own wheel, to the environment in /opt/modelecology.
#
# Nothing else stays in the layer: no cache, no tests of libraries, nothing that holds a time. Bytecode is shipped,
# because a read-only root cannot keep any and a start without it takes seconds longer. Its validity does not hang
# on the times of the sources, which a reproducible build sets to another value.
set -eu
pins=$1
wheels=${2:-}
home=/opt/modelecology
if [ -f /run/client/settings ]; then . /run/client/settings; fi
export UV_CACHE_DIR=/run/uv UV_LINK_MODE=copy UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never PYTHONHASHSEED=0
uv=/opt/tools/bin/uv
started=$(mktemp)

[ -x $home/bin/python ] || $uv venv --quiet --python python3 $home
$uv pip install --quiet --python $home/bin/python --no-build --require-hashes -r "$pins"
if [ -n "$wheels" ]; then
    # Found by name: of a wheel that is given as a file, its path would be noted.
    $uv pip install --quiet --python $home/bin/python --no-deps --no-cache --no-index --find-links "$wheels" modelecology
    # The time of the wheel, which is another at each build.
    rm $home/lib/python3*/site-packages/modelecology-*.dist-info/uv_cache.json
    sed -i '/uv_cache\.json/d' $home/lib/python3*/site-packages/modelecology-*.dist-info/RECORD
fi
find $home/lib -type d -name tests -prune -exec rm -rf {} +
# Only what this layer adds: a layer below has its own. A library may carry a file for a newer Python, which does
# not compile.
find $home/lib -name '*.py' -cnewer "$started" -print0 | sort -z |
    xargs -0 -r -n 200 -P "$(nproc)" $home/bin/python -m compileall -qq --invalidation-mode unchecked-hash || true
rm "$started"
