#!/usr/bin/env bash
# Build the image with what is there, and run the demo in it as a user that it does not know, with a read-only root file
# system where the program can (buildah cannot). Takes ten minutes and 15 GB.
#   deploy/docker/check.sh [--build-arg NAME=VALUE ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tag=simsearch:check
build=(--file deploy/docker/Dockerfile --tag "$tag" "$@" .)
demo=(simsearch demo /tmp/demo --cluster local:1)
for program in docker podman; do
    if command -v "$program" >/dev/null && "$program" info >/dev/null 2>&1; then
        "$program" build "${build[@]}"
        "$program" run --rm --read-only --tmpfs /tmp:rw,exec --user 1234:1234 "$tag" "${demo[@]}"
        exit
    fi
done
if ! command -v buildah >/dev/null; then
    echo "skipped: neither a running Docker nor Podman nor buildah is here" >&2
    exit
fi
buildah build --isolation chroot --ignorefile deploy/docker/Dockerfile.dockerignore "${build[@]}"
container=$(buildah from --pull-never "$tag")
trap 'buildah rm "$container" >/dev/null' EXIT
buildah run --isolation chroot --user 1234:1234 "$container" -- "${demo[@]}"
