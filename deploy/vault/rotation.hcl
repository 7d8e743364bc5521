# What a rotation of the root needs beyond the daily policy: another root beside the
# one in force, its key made in Vault and never shown. It replaces, changes and
# deletes nothing, and cannot make the new root the mount's default.
path "@MOUNT@/root/rotate/internal" {
  capabilities = ["update"]
  allowed_parameters = {
    "common_name"           = ["Ensign root *"]
    "organization"          = ["@TRUST_DOMAIN@"]
    "issuer_name"           = ["ensign-*"]
    "key_name"              = ["ensign-*"]
    "key_type"              = ["ec"]
    "key_bits"              = ["256", "384"]
    "max_path_length"       = ["1"]
    "permitted_uri_domains" = ["@TRUST_DOMAIN@"]
    "not_before_duration"   = ["900s"]
    "ttl"                   = ["@ROOT_TTL@"]
  }
  # From 1.21 on Vault compares lists item by item, so that one without items passes
  # every list of allowed values: an empty string or list.
  denied_parameters = {
    "permitted_uri_domains" = ["", []]
    "max_path_length" = ["", []]
    "ttl" = ["", []]
    "organization" = ["", []]
    "common_name" = ["", []]
    "not_before_duration" = ["", []]
    "issuer_name" = ["", []]
    "key_name" = ["", []]
    "key_type" = ["", []]
    "key_bits" = ["", []]
  }
  required_parameters = [
    "common_name", "organization", "issuer_name", "key_name", "key_type", "key_bits",
    "max_path_length", "permitted_uri_domains", "not_before_duration", "ttl",
  ]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
