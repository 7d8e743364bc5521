#!/usr/bin/env bash
# Prepares a Vault for one mesh, with the vault command and an administrator's
# VAULT_ADDR and VAULT_TOKEN (VAULT_CACERT, VAULT_NAMESPACE): a PKI engine of its
# own, a root in it, and the two policies. What is there already stays as it is,
# but for the policies, which are written anew. See README.md beside this file.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
trust_domain=${TRUST_DOMAIN:-cluster.local}
mount=${MOUNT:-ensign}
# The mesh's first root; empty: none, the mesh comes to Vault by a rotation.
issuer=${ISSUER-ensign-1}
# What ensignd asks for to get issuers of 168h: five minutes less.
ttl=${TTL:-604500s}
# The life of every root: what ensignd asks for, and the rotation policy pins.
root_ttl=87600h

if ! vault read "sys/mounts/$mount" >/dev/null 2>&1; then
  vault secrets enable -path="$mount" -max-lease-ttl="$root_ttl" -default-lease-ttl="$ttl" \
    -description="roots of the mesh $trust_domain" pki
fi
# An outside root above Vault: import the signed intermediate before running this.
if [[ -n $issuer ]] && ! vault read "$mount/issuer/$issuer" >/dev/null 2>&1; then
  vault write -format=json "$mount/root/generate/internal" \
    issuer_name="$issuer" key_name="$issuer" \
    common_name="Ensign root $issuer" organization="$trust_domain" exclude_cn_from_sans=true \
    key_type=ec key_bits=256 max_path_length=1 not_before_duration=900s \
    permitted_uri_domains="$trust_domain" ttl="$root_ttl" >/dev/null
  echo "made root $issuer in $mount"
fi
for policy in daily rotation; do
  sed -e "s|@MOUNT@|$mount|g" -e "s|@TRUST_DOMAIN@|$trust_domain|g" \
    -e "s|@TTL@|$ttl|g" "$here/$policy.hcl" |
    vault policy write "$mount-$policy" -
done
