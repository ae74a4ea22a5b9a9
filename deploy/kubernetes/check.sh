#!/usr/bin/env bash
# Would the cluster that kubectl speaks to take the objects, and does a Dask cluster of one command leave nothing behind?
#
#     SIMSEARCH_CLUSTER_IMAGE=registry.example.org/simsearch:0.1.0 deploy/kubernetes/check.sh
#
# In the namespace of kubectl's context, with Dask's operator installed. Of the overlays nothing is made. simsearch in the
# PATH starts one worker, and ends; SIMSEARCH_CLUSTER_WAIT is how many seconds that may take.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
status=0

for overlay in cpu gpu; do
    echo "== overlays/$overlay: would the API server take it?"
    kubectl apply --dry-run=server --kustomize "overlays/$overlay" || status=1
done

echo "== --cluster kubernetes: do pods come?"
export SIMSEARCH_CLUSTER_WORKERS=1 SIMSEARCH_CLUSTER_WAIT=${SIMSEARCH_CLUSTER_WAIT:-300}
simsearch doctor --cluster kubernetes || status=1

echo "== is all of it gone?"
for ((second = 0; second < 30; second++)); do
    left=$(kubectl get daskclusters,secrets,services,deployments,pods --output name \
        --selector 'app.kubernetes.io/managed-by=simsearch') || exit 1
    [[ -n $left ]] || break
    sleep 1
done
[[ -z $left ]] || { echo "expected nothing to be left, got $left: kubectl delete $(tr '\n' ' ' <<<"$left")" >&2; status=1; }
exit "$status"
