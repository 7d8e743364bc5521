// Package authz decides who may call whom.
//
// [Compile] turns the policies that select a workload into a [Ruleset];
// [Ruleset.Evaluate] answers for one [Request] with a [Verdict] that names the
// policy and the rule. The same tables ([Ruleset.HTTP], [Ruleset.TCP]) are what
// other packages translate for a proxy, so that the explanation and the
// enforcement come from one place. Nothing here knows Envoy or Kubernetes.
//
// The order is Istio's: a matching DENY refuses; then, if there is any ALLOW
// policy, one of them must match; else the request passes.
//
// # A caller without an identity
//
// A peer that has shown no certificate matches no principal, namespace or
// service account, not even "*". It does match notPrincipals and the like, since
// it is none of those: a DENY with notPrincipals refuses it, and an ALLOW that
// has only notPrincipals admits it. That is Istio's meaning; write
// principals: ["*"] beside notPrincipals to demand an identity.
//
// # Hosts
//
// A client chooses how it writes a host: catalog.stock, catalog.stock:9080,
// catalog.stock. with the root's dot. Where a match leads to a refusal (hosts in
// a DENY, notHosts in an ALLOW) all of these are one, for exact values and
// suffixes; in Istio they are not, and a DENY misses every port but 80. Where a
// match lets in (hosts in an ALLOW, notHosts in a DENY) the value is compared
// as it stands, as in Istio: write "catalog.stock:*" beside it.
//
// # Failing closed
//
// What cannot be read never opens a door. In an ALLOW policy a rule with a bad
// value matches nothing; in a DENY policy the list that holds it is dropped, so
// that the rule matches more. Compile reports both as errors, and its ruleset is
// usable nevertheless. On plain TCP the attributes of HTTP are treated the same
// way, silently: they are no mistake.
package authz
