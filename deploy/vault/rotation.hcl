# What a rotation of the root needs beyond the daily policy, and nobody on other days:
# another root beside the one in force, and links from one root to the next. It
# replaces, changes and deletes nothing.

# A root: its key is made in Vault and never shown. Names are new ones, or Vault
# refuses; the mount's default issuer stays.
path "@MOUNT@/root/rotate/internal" {
  capabilities = ["update"]
  allowed_parameters = {
    "issuer_name"           = ["ensign-*"]
    "common_name"           = ["Ensign root *"]
    "organization"          = ["@TRUST_DOMAIN@"]
    "exclude_cn_from_sans"  = ["true"]
    "key_type"              = ["ec"]
    "key_bits"              = ["256"]
    "max_path_length"       = ["1"]
    "permitted_uri_domains" = ["@TRUST_DOMAIN@"]
    "not_before_duration"   = ["900s"]
    "ttl"                   = ["87600h"]
  }
  # See daily.hcl.
  denied_parameters = {
    "issuer_name"           = ["", []]
    "common_name"           = ["", []]
    "organization"          = ["", []]
    "exclude_cn_from_sans"  = ["", []]
    "key_type"              = ["", []]
    "key_bits"              = ["", []]
    "max_path_length"       = ["", []]
    "permitted_uri_domains" = ["", []]
    "not_before_duration"   = ["", []]
    "ttl"                   = ["", []]
  }
  required_parameters = [
    "issuer_name", "common_name", "organization", "exclude_cn_from_sans", "key_type", "key_bits",
    "max_path_length", "permitted_uri_domains", "not_before_duration", "ttl",
  ]
}

# The request for a link to a root: signed by that root's key, it is good for nothing
# else. The key goes by its ID, which reading the issuer tells.
path "@MOUNT@/intermediate/cross-sign" {
  capabilities = ["update"]
  allowed_parameters = {
    "key_ref"              = []
    "common_name"          = ["Ensign root *"]
    "organization"         = ["@TRUST_DOMAIN@"]
    "exclude_cn_from_sans" = ["true"]
  }
  # See daily.hcl.
  denied_parameters = {
    "common_name"           = ["", []]
    "organization"          = ["", []]
    "exclude_cn_from_sans"  = ["", []]
  }
  required_parameters = ["key_ref", "common_name", "organization", "exclude_cn_from_sans"]
}
path "@MOUNT@/issuer/+" {
  capabilities = ["read"]
}

# The link itself: the next root's key and name, signed by this one, so that who knows
# only this one learns of the next. It is of no use to sign anything: path length 0, and a
# domain that nobody has. The name of a root, which an issuer never bears, makes it a link.
path "@MOUNT@/issuer/+/sign-intermediate" {
  capabilities = ["update"]
  allowed_parameters = {
    "csr"                   = []
    "common_name"           = ["Ensign root *"]
    "organization"          = ["@TRUST_DOMAIN@"]
    "exclude_cn_from_sans"  = ["true"]
    "max_path_length"       = ["0"]
    "permitted_uri_domains" = ["link.invalid"]
    "permitted_dns_domains" = ["link.invalid"]
    "not_before_duration"   = ["600s"]
    "ttl"                   = ["31535700s", "2591700s", "86100s", "3300s"]
  }
  # See daily.hcl.
  denied_parameters = {
    "common_name"           = ["", []]
    "organization"          = ["", []]
    "exclude_cn_from_sans"  = ["", []]
    "max_path_length"       = ["", []]
    "permitted_uri_domains" = ["", []]
    "permitted_dns_domains" = ["", []]
    "not_before_duration"   = ["", []]
    "ttl"                   = ["", []]
  }
  required_parameters = [
    "csr", "common_name", "organization", "exclude_cn_from_sans", "max_path_length",
    "permitted_uri_domains", "permitted_dns_domains", "not_before_duration", "ttl",
  ]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
