#!/usr/bin/env bash
# Prepares a Vault for one mesh, with the vault command and an administrator's
# VAULT_ADDR and VAULT_TOKEN (VAULT_CACERT, VAULT_NAMESPACE): a PKI engine of its
# own, a root in it, the two policies, with ROLE the roles and the policy for leaves, and
# with KUBERNETES_HOST the logins by tokens of that cluster. What is there already stays
# as it is, but for roles, policies and how Vault reaches the cluster, which are written
# anew. See README.md beside this file.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
trust_domain=${TRUST_DOMAIN:-cluster.local}
mount=${MOUNT:-ensign}
# The mesh's first root; empty: none, the mesh comes to Vault by a rotation.
issuer=${ISSUER-ensign-1}
# What ensignd asks for to get issuers of 168h: five minutes less.
ttl=${TTL:-604500s}
# The role by which Vault signs each leaf; empty: ensignd's issuers sign them.
role=${ROLE-}
# With a role: the longest life of an SVID, and the names of ensignd's own certificate
# (--server-name), DNS names and addresses apart, with commas between.
svid_ttl=${SVID_TTL:-24h}
server_names=${SERVER_NAMES:-istiod.istio-system.svc,localhost}
server_ips=${SERVER_IPS-}
# The API server whose tokens log ensignd in, a URL that Vault reaches; empty: no such
# login.
kubernetes=${KUBERNETES_HOST-}
# With it: the files of the CA of its certificate, and of a token that may have tokens
# reviewed (cluster role system:auth-delegator); empty: Vault runs in a pod of that
# cluster, and has both.
kubernetes_ca=${KUBERNETES_CA-}
kubernetes_reviewer=${KUBERNETES_REVIEWER-}
# The login's path, and its role; with -rotation behind it the one for rotations.
kubernetes_mount=${KUBERNETES_MOUNT:-kubernetes}
kubernetes_role=${KUBERNETES_ROLE:-ensignd}
# The account of ensignd; with -rotation behind it the one of rotations. And for whom the
# tokens of both are made.
kubernetes_account=${KUBERNETES_ACCOUNT:-istio-system/ensignd}
kubernetes_audience=${KUBERNETES_AUDIENCE:-vault}
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
if [[ -n $role ]]; then
  # What both kinds of leaves have in common: no CA, no name of the request, a start for
  # clocks that are behind. Vault keeps no copy: the record is Ensign's ledger.
  common=(issuer_ref="${issuer:-default}" key_type=any key_usage=DigitalSignature signature_bits=256
    basic_constraints_valid_for_non_ca=true not_before_duration=600s no_store=true
    require_cn=false use_csr_common_name=false use_csr_sans=false allow_localhost=false allow_any_name=false
    allow_subdomains=false allow_glob_domains=false allow_wildcard_certificates=false server_flag=true)
  vault write "$mount/roles/$role" "${common[@]}" client_flag=true max_ttl="$svid_ttl" allow_ip_sans=false \
    allowed_uri_sans="spiffe://$trust_domain/ns/*/sa/*,spiffe://$trust_domain/ensign/bundle-endpoint" >/dev/null
  vault write "$mount/roles/$role-server" "${common[@]}" client_flag=false max_ttl=24h \
    allowed_domains="$server_names" allow_bare_domains=true allow_ip_sans="$([[ -n $server_ips ]] && echo true || echo false)" >/dev/null
  echo "made roles $role and $role-server in $mount"
fi
# quoted makes a list of HCL of one with commas.
quoted() { sed -e 's/[^,][^,]*/"&"/g' <<<"$1"; }
for policy in daily rotation ${role:+leaves}; do
  sed -e "s|@MOUNT@|$mount|g" -e "s|@TRUST_DOMAIN@|$trust_domain|g" \
    -e "s|@TTL@|$ttl|g" -e "s|@ROLE@|$role|g" -e "s|@SERVER_NAMES@|$(quoted "$server_names")|" \
    -e "${server_ips:+#}/@SERVER_IPS@/d" -e "s|@SERVER_IPS@|$(quoted "$server_ips")|" "$here/$policy.hcl" |
    vault policy write "$mount-$policy" -
done
# kubernetes_login writes a role: its name, account, policy, and the life of its tokens.
kubernetes_login() {
  vault write "auth/$kubernetes_mount/role/$1" audience="$kubernetes_audience" \
    bound_service_account_namespaces="${2%%/*}" bound_service_account_names="${2#*/}" \
    token_policies="$3" token_no_default_policy=true token_ttl="$4" token_max_ttl="$5" >/dev/null
  echo "$2 logs in by kubernetes@$kubernetes_mount:$1 with a token for $kubernetes_audience"
}
if [[ -n $kubernetes ]]; then
  if ! vault read "sys/auth/$kubernetes_mount" >/dev/null 2>&1; then
    vault auth enable -path="$kubernetes_mount" kubernetes
  fi
  vault write "auth/$kubernetes_mount/config" kubernetes_host="$kubernetes" \
    ${kubernetes_ca:+kubernetes_ca_cert=@"$kubernetes_ca"} \
    ${kubernetes_reviewer:+token_reviewer_jwt=@"$kubernetes_reviewer" disable_local_ca_jwt=true} >/dev/null
  kubernetes_login "$kubernetes_role" "$kubernetes_account" "$mount-$([[ -n $role ]] && echo leaves || echo daily)" 1h 24h
  kubernetes_login "$kubernetes_role-rotation" "$kubernetes_account-rotation" "$mount-rotation" 10m 1h
fi
