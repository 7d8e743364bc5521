# What each replica of ensignd needs every day where Vault signs each leaf, in the place
# of daily.hcl: SVIDs of this trust domain by one role, the control plane's own server
# certificates by another. What else a leaf says, and for how long it may live, is in the
# roles (setup.sh), which this may not change. A field that is not listed is denied.
path "@MOUNT@/issuer/+/sign/@ROLE@" {
  capabilities = ["update"]
  allowed_parameters = {
    "csr"      = []
    "uri_sans" = ["spiffe://@TRUST_DOMAIN@/*"]
    "ttl"      = []
  }
  # See daily.hcl.
  denied_parameters = {
    "uri_sans" = ["", [], "*,*"]
  }
  required_parameters = ["csr", "uri_sans", "ttl"]
}
path "@MOUNT@/issuer/+/sign/@ROLE@-server" {
  capabilities = ["update"]
  allowed_parameters = {
    "csr"       = []
    "alt_names" = [@SERVER_NAMES@]
    "ip_sans"   = [@SERVER_IPS@]
    "ttl"       = []
  }
  # See daily.hcl.
  denied_parameters = {
    "alt_names" = ["", []]
    "ip_sans"   = ["", []]
  }
  required_parameters = ["csr", "alt_names", "ttl"]
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
