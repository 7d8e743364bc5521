package mesh

import (
	"slices"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
)

const vault = "vault.example"

func TestEntrySelectsPods(t *testing.T) {
	e := newEntry("shop", "e", vault)
	e.Spec.WorkloadSelector = &networking.WorkloadSelector{Labels: map[string]string{"app": "vault"}}
	pending := newPod("shop", "new", "10.0.0.3", "vault", map[string]string{"app": "vault"})
	pending.Status.Phase = corev1.PodPending
	b, s := build(t, entryObject(e), podObject(pending),
		podObject(newPod("shop", "v", "10.0.0.1", "vault", map[string]string{"app": "vault"})),
		podObject(newPod("bank", "v", "10.0.0.2", "thief", map[string]string{"app": "vault"})))
	set := s.Endpoints[vault]
	if got := set.Ports[80]; len(got) != 1 || got[0].Address != "10.0.0.1" || got[0].Port != 8080 || got[0].Workload != (Key{"shop", "v"}) {
		t.Errorf("endpoints %+v: want the ready pod of the entry's namespace alone", got)
	}
	if !slices.Equal(set.Accounts, []spiffeid.ID{spiffe("shop", "vault")}) {
		t.Errorf("accounts %v", set.Accounts)
	}
	if in := s.Workloads[Key{"shop", "v"}].Inbound; len(in.Ports) != 1 || in.Ports[0].Host != vault {
		t.Errorf("inbound %+v", in.Ports)
	}
	s, changes := apply(t, b, podObject(newPod("shop", "v", "10.0.0.1", "vault", map[string]string{"app": "else"})))
	if len(s.Endpoints[vault].Ports[80]) != 0 || !changes.Endpoints.Has(vault) || len(s.Workloads[Key{"shop", "v"}].Inbound.Ports) != 0 {
		t.Errorf("after another label: %+v", s.Endpoints[vault])
	}
}

func TestEntryOfAnotherNamespacesHost(t *testing.T) {
	for host, ok := range map[string]bool{
		"vm.shop.svc.cluster.local": true, "vm.bank.svc.cluster.local": false, "vm.bank.SVC.cluster.local": false,
		"bank.svc.cluster.local": false, "vm.shop.svc.example": true,
	} {
		_, _, problems := NewBuilder(testDomain).Apply(Update{Upserts: []Object{entryObject(newEntry("shop", "e", host, "10.0.0.1"))}})
		if (len(problems) == 0) != ok {
			t.Errorf("host %s: problems %+v, want accepted %v", host, problems, ok)
		}
	}
}

func TestBadEntryKeepsLastGood(t *testing.T) {
	for name, spoil := range map[string]func(e *networkingv1.ServiceEntry){
		"DNS":           func(e *networkingv1.ServiceEntry) { e.Spec.Resolution = networking.ServiceEntry_DNS },
		"no resolution": func(e *networkingv1.ServiceEntry) { e.Spec.Resolution = networking.ServiceEntry_NONE },
		"null port":     func(e *networkingv1.ServiceEntry) { e.Spec.Ports = append(e.Spec.Ports, nil) },
		"null endpoint": func(e *networkingv1.ServiceEntry) { e.Spec.Endpoints = append(e.Spec.Endpoints, nil) },
		"no port":       func(e *networkingv1.ServiceEntry) { e.Spec.Ports = nil },
		"no host":       func(e *networkingv1.ServiceEntry) { e.Spec.Hosts = nil },
		"unix socket":   func(e *networkingv1.ServiceEntry) { e.Spec.Endpoints[0].Address = "unix:///run/x" },
		"account":       func(e *networkingv1.ServiceEntry) { e.Spec.Endpoints[0].ServiceAccount = "a/../b" },
		"weight":        func(e *networkingv1.ServiceEntry) { e.Spec.Endpoints[0].Weight = 1 << 20 },
		"same port":     func(e *networkingv1.ServiceEntry) { e.Spec.Ports = append(e.Spec.Ports, e.Spec.Ports[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			b, before := build(t, entryObject(newEntry("shop", "e", vault, "10.0.0.1")))
			bad := newEntry("shop", "e", vault, "10.0.0.2")
			spoil(bad)
			s, changes, problems := b.Apply(Update{Upserts: []Object{entryObject(bad)}})
			if s != before || !changes.Empty() || len(problems) == 0 || problems[0].Fix == "" {
				t.Errorf("changes %+v, problems %+v", changes, problems)
			}
		})
	}
}

func TestOldestEntrySpeaksForAHost(t *testing.T) {
	_, _, problems := NewBuilder(testDomain).Apply(Update{Upserts: []Object{
		entryObject(newEntry("shop", "b", vault, "10.0.0.1")), entryObject(newEntry("bank", "c", vault, "10.0.0.2")), entryObject(newEntry("bank", "d", vault, "10.0.0.3")),
	}})
	if len(problems) != 2 {
		t.Fatalf("problems %+v, want one each of the two that lose", problems)
	}
	for _, p := range problems {
		if !strings.Contains(p.Message, "already defined by ServiceEntry bank/c") {
			t.Errorf("problem %+v", p)
		}
	}
}

// Nobody takes a Kubernetes service's name by an entry that is called like it;
// which of the two comes first does not matter.
func TestShortNamesOfServicesAreTheirs(t *testing.T) {
	for host, refused := range map[string]bool{
		"reviews.shop": true, "reviews.shop.svc": true, "Reviews.Shop": true, "reviews.bank": false, "reviews.shop.example": false,
	} {
		entry, service := entryObject(newEntry("evil", "e", host, "10.9.9.9")), serviceObject(newService("shop", "reviews", "r"))
		b := NewBuilder(testDomain)
		b.Apply(Update{Upserts: []Object{entry}})
		s, changes, problems := b.Apply(Update{Upserts: []Object{service}})
		_, taken := s.Services[strings.ToLower(host)]
		if taken == refused || (len(problems) == 1) != refused || changes.Services.Has(strings.ToLower(host)) != refused {
			t.Errorf("%s: taken %v, changes %v, problems %+v", host, taken, changes.Services, problems)
		}
		s, _, problems = b.Apply(Update{Deletes: []Ref{service.Ref}})
		if s.Services[strings.ToLower(host)] == nil || len(problems) > 0 {
			t.Errorf("%s is not back without the service: %+v", host, problems)
		}
	}
}

func TestAnAddressIsNoHost(t *testing.T) {
	for _, host := range []string{"10.96.0.11", "fd00::11", "::ffff:10.96.0.11"} {
		s, _, problems := NewBuilder(testDomain).Apply(Update{Upserts: []Object{entryObject(newEntry("evil", "e", host, "10.9.9.9"))}})
		if len(problems) != 1 || len(s.Services) > 0 {
			t.Errorf("%s: problems %+v, services %v", host, problems, s.Services)
		}
	}
}
