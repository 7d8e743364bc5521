package mesh

import (
	"fmt"

	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ensign-mesh/ensign/authz"
)

const (
	gatewayNameLabel  = "gateway.networking.k8s.io/gateway-name"
	gatewayClassLabel = "gateway.networking.k8s.io/gateway-class-name"
	dryRunAnnotation  = "istio.io/dry-run"
)

// authPolicy is one compiled AuthorizationPolicy.
type authPolicy struct {
	ref       Ref
	selection selection
	policy    *authz.Policy
	standIn   bool // for one that has no good version
}

// compileAuthPolicy reads an AuthorizationPolicy; nil when it asks for nothing
// that is enforced (AUDIT, a dry run). After a failure only the selection counts.
func compileAuthPolicy(local string, ref Ref, in *security.AuthorizationPolicy, dryRun bool, f *findings) *authPolicy {
	if dryRun {
		f.note("metadata.annotations["+dryRunAnnotation+"]", "remove the annotation to put the policy in force", "a dry run has no effect and is not reported")
		return nil
	}
	p := &authPolicy{ref: ref, policy: &authz.Policy{Namespace: ref.Namespace, Name: ref.Name}}
	p.selection = compileSelection(in, ref.Namespace, f)
	switch in.GetAction() {
	case security.AuthorizationPolicy_ALLOW:
		p.policy.Action = authz.Allow
	case security.AuthorizationPolicy_DENY:
		p.policy.Action = authz.Deny
		if len(in.GetRules()) == 0 {
			f.note("spec.rules", "write rules: [{}] to deny everything", "a DENY policy without rules denies nothing")
		}
	case security.AuthorizationPolicy_CUSTOM:
		p.policy.Action = authz.Deny
		f.note("spec.action", "write ALLOW or DENY", "CUSTOM is not supported: what its rules match is denied")
	case security.AuthorizationPolicy_AUDIT:
		f.note("spec.action", "remove the policy, or write ALLOW or DENY", "AUDIT is not supported: the policy has no effect")
		return nil
	default:
		f.fail("spec.action", "write ALLOW or DENY", "action %d is not known", in.GetAction())
		return p
	}
	checkMessage(in, "spec", f)
	p.policy.Rules = compileRules(local, ref.Namespace, in, f)
	if _, err := authz.Compile([]*authz.Policy{p.policy}); err != nil && !f.failed {
		f.fail("spec.rules", "", "%v", err)
	}
	return p
}

// compileSelection resolves selector and targetRefs to pods. A targetRef is a
// failure, and selects the pods that the policy would guard: those behind a
// Service, those of a gateway, else the whole namespace.
func compileSelection(in *security.AuthorizationPolicy, namespace string, f *findings) selection {
	refs := in.GetTargetRefs()
	if in.GetTargetRef() != nil {
		refs = append([]*typev1beta1.PolicyTargetReference{in.GetTargetRef()}, refs...)
	}
	if len(refs) == 0 {
		return selection{{labels: checkSelector(in.GetSelector().GetMatchLabels(), f)}}
	}
	var out selection
	if in.GetSelector() != nil {
		out = append(out, target{labels: in.GetSelector().GetMatchLabels()})
	}
	for i, r := range refs {
		field := fmt.Sprintf("spec.targetRefs[%d]", i)
		f.fail(field, "write spec.selector.matchLabels with the labels of the pods",
			"targetRefs are not supported: until then %s %s is denied to everyone", r.GetKind(), r.GetName())
		switch {
		case r.GetKind() == "Service" && r.GetGroup() == "" && r.GetName() != "":
			out = append(out, target{host: kubeHost(Key{namespace, r.GetName()})})
		case r.GetKind() == "Gateway" && r.GetName() != "":
			out = append(out, target{labels: map[string]string{gatewayNameLabel: r.GetName()}})
		case r.GetKind() == "GatewayClass" && r.GetName() != "":
			out = append(out, target{labels: map[string]string{gatewayClassLabel: r.GetName()}})
		default:
			out = append(out, target{})
		}
	}
	return out
}

// checkSelector refuses labels that no pod can have. The selection of a policy
// that failed here is the whole namespace.
func checkSelector(labels map[string]string, f *findings) map[string]string {
	for k, v := range labels {
		if errs := append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...); len(errs) > 0 {
			f.fail("spec.selector.matchLabels["+k+"]", "write a label as pods carry it; wildcards are not supported", "%s", errs[0])
			return nil
		}
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// denyStandIn is in force for an AuthorizationPolicy that has no good version.
func denyStandIn(ref Ref, s selection) *authPolicy {
	return &authPolicy{ref: ref, selection: s, policy: &authz.Policy{
		Namespace: ref.Namespace, Name: ref.Name, Action: authz.Deny, Rules: []authz.Rule{{}},
	}}
}
