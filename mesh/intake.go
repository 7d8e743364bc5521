package mesh

import (
	"reflect"
	"strconv"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// compile reads one object and takes what came of it. After a failure the last
// good version stays where it is.
func (b *Builder) compile(o Object, f *findings) {
	switch v := o.Value.(type) {
	case *corev1.Namespace:
		b.mark.namespaces.put(o.Ref.Name, keep(b.mark.namespaces.entries[o.Ref.Name], &Namespace{Ref: o.Ref, Labels: v.Labels}))
	case *corev1.ServiceAccount:
		b.mark.accounts.put(o.Ref.Key, keep(b.mark.accounts.entries[o.Ref.Key], &Account{Ref: o.Ref, UID: string(v.UID)}))
	case *corev1.ConfigMap:
		b.takeConfig(o.Ref, v, f)
	case *corev1.Pod:
		if p := compilePod(b.td, o.Ref, v, f); !f.failed {
			b.takePod(o.Ref.Key, p)
		}
	case *corev1.Service:
		if d := compileService(o.Ref, v, f); !f.failed {
			b.takeService(o.Ref.Key, d)
		}
	case *discoveryv1.EndpointSlice:
		if s := compileSlice(o.Ref, v, f); !f.failed {
			b.takeSlice(o.Ref.Key, s)
		}
	case *networkingv1.ServiceEntry:
		if d := compileEntry(b.td, o.Ref, &v.Spec, age{v.CreationTimestamp.Time, o.Ref.Key}, f); !f.failed {
			b.takeEntry(o.Ref.Key, d)
		}
	case *networkingv1.VirtualService:
		if r := compileVirtualService(o.Ref, &v.Spec, f); !f.failed {
			b.takeRoute(o.Ref.Key, route{r, age{v.CreationTimestamp.Time, o.Ref.Key}})
		}
	case *networkingv1.DestinationRule:
		if r := compileDestinationRule(o.Ref, &v.Spec, f); !f.failed {
			b.takeRule(o.Ref.Key, rule{r, age{v.CreationTimestamp.Time, o.Ref.Key}})
		}
	case *securityv1.PeerAuthentication:
		b.compilePeer(o.Ref, v, f)
	case *securityv1.AuthorizationPolicy:
		b.compilePolicy(o.Ref, v, f)
	case *Unreadable:
		b.compileUnreadable(o.Ref, v, f)
	}
}

const keptLast = "; its last good version stays in force"

func (b *Builder) compilePeer(ref Ref, v *securityv1.PeerAuthentication, f *findings) {
	a := age{v.CreationTimestamp.Time, ref.Key}
	p := compilePeerAuth(ref, &v.Spec, a, f)
	if f.failed {
		b.closePeer(ref, strictStandIn(ref, a, p.selector), f)
		return
	}
	b.takePeer(ref.Key, p)
}

func (b *Builder) compilePolicy(ref Ref, v *securityv1.AuthorizationPolicy, f *findings) {
	dryRun, _ := strconv.ParseBool(v.Annotations[dryRunAnnotation])
	p := compileAuthPolicy(b.td.Name(), ref, &v.Spec, dryRun, f)
	if f.failed {
		b.closePolicy(ref, denyStandIn(ref, p.selection), f)
		return
	}
	b.takePolicy(ref.Key, p)
}

func (b *Builder) compileUnreadable(ref Ref, v *Unreadable, f *findings) {
	f.fail("", "correct the document", "the policy could not be read: %s", v.Reason)
	if ref.Kind == KindPeerAuthentication {
		b.closePeer(ref, strictStandIn(ref, age{key: ref.Key}, v.Selector), f)
		return
	}
	b.closePolicy(ref, denyStandIn(ref, selection{{labels: v.Selector}}), f)
}

// closePeer puts the stand-in in force where there is no good version.
func (b *Builder) closePeer(ref Ref, standIn *peerAuth, f *findings) {
	if old := b.peers.all[ref.Key]; old != nil && !old.standIn {
		f.consequence(keptLast)
		return
	}
	f.consequence("; until it is corrected, what it selects demands mTLS")
	standIn.standIn = true
	b.takePeer(ref.Key, standIn)
}

func (b *Builder) closePolicy(ref Ref, standIn *authPolicy, f *findings) {
	if old := b.policies.all[ref.Key]; old != nil && !old.standIn {
		f.consequence(keptLast)
		return
	}
	f.consequence("; until it is corrected, what it selects denies everything")
	standIn.standIn = true
	b.takePolicy(ref.Key, standIn)
}

func (b *Builder) takeConfig(ref Ref, v *corev1.ConfigMap, f *findings) {
	if ref.Key != (Key{defaultRootNamespace, meshConfigMap}) {
		return
	}
	c := compileConfig(b.td, v, f)
	if f.failed {
		if b.configGood {
			f.consequence(keptLast)
			return
		}
		f.consequence("; until it is corrected, unknown destinations are blocked")
		c = closedConfig()
	}
	b.configGood = !f.failed
	b.mark.setConfig(c)
}

// keep is old if next says the same, whatever line it was read from.
func keep[T Namespace | Account | Service | EndpointSet | Workload](old, next *T) *T {
	if old != nil && reflect.DeepEqual(withoutPlace(*old), withoutPlace(*next)) {
		return old
	}
	return next
}

func withoutPlace[T any](v T) T {
	if ref := reflect.ValueOf(&v).Elem().FieldByName("Ref"); ref.IsValid() {
		ref.FieldByName("Where").SetString("")
	}
	return v
}
