# What each replica of ensignd needs every day: its issuer signed, limited to one
# trust domain, to path length 0 and to a life; its own token renewed. A field that
# is not listed is denied, and none that limits may be left out.
path "@MOUNT@/issuer/+/sign-intermediate" {
  capabilities = ["update"]
  allowed_parameters = {
    "csr"                   = []
    "common_name"           = ["Ensign issuer *"]
    "organization"          = ["@TRUST_DOMAIN@"]
    "exclude_cn_from_sans"  = ["true"]
    "max_path_length"       = ["0"]
    "permitted_uri_domains" = ["@TRUST_DOMAIN@"]
    "not_before_duration"   = ["600s"]
    "ttl"                   = ["@TTL@"]
  }
  # From 1.21 on Vault compares lists item by item, so that one without items passes
  # every list of allowed values: an empty string or list.
  denied_parameters = {
    "common_name"           = ["", []]
    "organization"          = ["", []]
    "exclude_cn_from_sans"  = ["", []]
    "max_path_length"       = ["", []]
    "permitted_uri_domains" = ["", []]
    "not_before_duration"   = ["", []]
    "ttl"                   = ["", []]
  }
  required_parameters = [
    "csr", "common_name", "organization", "exclude_cn_from_sans", "max_path_length",
    "permitted_uri_domains", "not_before_duration", "ttl",
  ]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
# Whether it may sign again, after a denial.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
