package mesh

import (
	"strings"
	"testing"

	security "istio.io/api/security/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	modeUnset      = security.PeerAuthentication_MutualTLS_UNSET
	modeStrict     = security.PeerAuthentication_MutualTLS_STRICT
	modePermissive = security.PeerAuthentication_MutualTLS_PERMISSIVE
	modeDisable    = security.PeerAuthentication_MutualTLS_DISABLE
)

func TestPeerAuthenticationLevels(t *testing.T) {
	web := map[string]string{"app": "web"}
	for name, c := range map[string]struct {
		policies []*securityv1.PeerAuthentication
		want     MTLSMode
	}{
		"none":                           {nil, Permissive},
		"mesh":                           {[]*securityv1.PeerAuthentication{newPeer("istio-system", "m", modeStrict, nil)}, Strict},
		"namespace over mesh":            {[]*securityv1.PeerAuthentication{newPeer("istio-system", "m", modeStrict, nil), newPeer("shop", "n", modeDisable, nil)}, Disable},
		"workload over namespace":        {[]*securityv1.PeerAuthentication{newPeer("shop", "n", modeDisable, nil), newPeer("shop", "w", modeStrict, web)}, Strict},
		"unset inherits":                 {[]*securityv1.PeerAuthentication{newPeer("istio-system", "m", modeStrict, nil), newPeer("shop", "n", modeUnset, nil), newPeer("shop", "w", modeUnset, web)}, Strict},
		"another workload's":             {[]*securityv1.PeerAuthentication{newPeer("shop", "w", modeStrict, map[string]string{"app": "db"})}, Permissive},
		"another namespace's":            {[]*securityv1.PeerAuthentication{newPeer("bank", "n", modeStrict, nil)}, Permissive},
		"root's selector stays at home":  {[]*securityv1.PeerAuthentication{newPeer("istio-system", "w", modeDisable, web), newPeer("istio-system", "m", modeStrict, nil)}, Strict},
		"first by name when of one age":  {[]*securityv1.PeerAuthentication{newPeer("shop", "b", modePermissive, nil), newPeer("shop", "a", modeStrict, nil)}, Strict},
		"oldest before the first's name": {[]*securityv1.PeerAuthentication{aged(newPeer("shop", "a", modePermissive, nil), 9), aged(newPeer("shop", "b", modeStrict, nil), 3)}, Strict},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []Object{podObject(newPod("shop", "web-1", "10.0.0.1", "web", web))}
			for _, p := range c.policies {
				objects = append(objects, peerObject(p))
			}
			_, s := build(t, objects...)
			if got := s.Workloads[Key{"shop", "web-1"}].Inbound.MTLS.For(8080); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func aged(p *securityv1.PeerAuthentication, created int64) *securityv1.PeerAuthentication {
	p.CreationTimestamp = metav1.Unix(created, 0)
	return p
}

func TestPortLevelMTLS(t *testing.T) {
	p := newPeer("shop", "w", modeStrict, map[string]string{"app": "web"})
	p.Spec.PortLevelMtls = map[uint32]*security.PeerAuthentication_MutualTLS{
		8080: {Mode: modeDisable}, 9090: {Mode: modeStrict}, 9091: {Mode: modeUnset},
	}
	_, s := build(t, peerObject(p), podObject(newPod("shop", "web-1", "10.0.0.1", "web", map[string]string{"app": "web"})))
	got := s.Workloads[Key{"shop", "web-1"}].Inbound.MTLS
	if got.For(8080) != Disable || got.For(9090) != Strict || got.For(9091) != Strict || len(got.Ports) != 1 {
		t.Errorf("got %+v, want one exception", got)
	}
}

// A PeerAuthentication that can't be compiled must not leave a port open to plaintext.
func TestBadPeerAuthenticationIsStrict(t *testing.T) {
	noSelector := newPeer("shop", "bad", modeDisable, nil)
	noSelector.Spec.PortLevelMtls = map[uint32]*security.PeerAuthentication_MutualTLS{8080: {Mode: modeDisable}}
	badPort := newPeer("shop", "bad", modeDisable, map[string]string{"app": "web"})
	badPort.Spec.PortLevelMtls = map[uint32]*security.PeerAuthentication_MutualTLS{80800: {Mode: modeDisable}}
	null := newPeer("shop", "bad", modeDisable, map[string]string{"app": "web"})
	null.Spec.PortLevelMtls = map[uint32]*security.PeerAuthentication_MutualTLS{8080: nil}
	for name, o := range map[string]Object{
		"portLevelMtls without selector": peerObject(noSelector),
		"port out of range":              peerObject(badPort),
		"null port":                      peerObject(null),
		"unknown mode":                   peerObject(newPeer("shop", "bad", 77, nil)),
		"label that no pod can have":     peerObject(newPeer("shop", "bad", modeDisable, map[string]string{"app": "*"})),
		"unreadable":                     {Ref: Ref{Kind: KindPeerAuthentication, Key: Key{"shop", "bad"}}, Value: &Unreadable{Reason: "a typo"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder(testDomain)
			s, _, problems := b.Apply(Update{Upserts: []Object{o, podObject(newPod("shop", "web-1", "10.0.0.1", "web", map[string]string{"app": "web"}))}})
			if got := s.Workloads[Key{"shop", "web-1"}].Inbound.MTLS; got.Mode != Strict || got.Ports != nil {
				t.Errorf("got %+v, want STRICT", got)
			}
			if len(problems) == 0 || problems[0].Ref.Name != "bad" || !strings.Contains(problems[0].Message, "demands mTLS") {
				t.Errorf("problems %+v", problems)
			}
		})
	}
}

func TestBadPeerAuthenticationKeepsLastGood(t *testing.T) {
	pod := podObject(newPod("shop", "web-1", "10.0.0.1", "web", nil))
	b, _ := build(t, pod, peerObject(newPeer("shop", "p", modePermissive, nil)))
	s, changes, problems := b.Apply(Update{Upserts: []Object{peerObject(newPeer("shop", "p", 77, nil))}})
	if !changes.Empty() || s.Workloads[Key{"shop", "web-1"}].Inbound.MTLS.Mode != Permissive {
		t.Errorf("the last good version is gone: %+v", changes)
	}
	if len(problems) != 1 || !strings.HasSuffix(problems[0].Message, keptLast) {
		t.Errorf("problems %+v", problems)
	}
	s, _, problems = b.Apply(Update{Deletes: []Ref{{Kind: KindPeerAuthentication, Key: Key{"shop", "p"}}}})
	if len(problems) != 0 || s.Workloads[Key{"shop", "web-1"}].Inbound.Origins != nil {
		t.Errorf("after the delete: %+v", problems)
	}
}
