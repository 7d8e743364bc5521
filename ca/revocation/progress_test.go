package revocation

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMechanisms(t *testing.T) {
	list := &List{Revision: 7}
	in := &Set{Revision: 3, For: 7, CRLs: [][]byte{{1}, {2}}}
	good := Proxy{Name: "shop/a", Connected: true, Agent: true, DenyAcked: true, Revision: 7, CRLRevision: 3, Method: "pidfd"}
	with := func(change func(*Proxy)) Proxy {
		p := good
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		list  *List
		set   *Set
		proxy Proxy
		want  string // states of deny, crl and cut; what they say
		says  string
	}{
		"obeys":                {list, in, good, "OBEYS OBEYS OBEYS", "2 CRLs"},
		"nothing is needed":    {list, &Set{Revision: 3, For: 7}, good, "OBEYS OBEYS OBEYS", "no CRL is needed"},
		"away, obeyed before":  {list, in, with(func(p *Proxy) { p.Connected = false }), "WAITING OBEYS OBEYS", "not connected"},
		"away":                 {list, in, with(func(p *Proxy) { p.Connected, p.Revision, p.CRLRevision = false, 6, 2 }), "WAITING WAITING WAITING", "obeys revision 6 of 7: not connected"},
		"denial held":          {list, in, with(func(p *Proxy) { p.DenyAcked = false }), "WAITING OBEYS OBEYS", "not acknowledged"},
		"old CRLs":             {list, in, with(func(p *Proxy) { p.CRLRevision, p.Error = 2, "Envoy refused" }), "OBEYS WAITING OBEYS", "has set 2 of 3: Envoy refused"},
		"open connections":     {list, in, with(func(p *Proxy) { p.Open = 2 }), "OBEYS OBEYS WAITING", "2 connections still open"},
		"no agent":             {list, in, with(func(p *Proxy) { p.Agent = false }), "OBEYS UNABLE UNABLE", "no agent"},
		"agent without Envoy":  {list, in, with(func(p *Proxy) { p.Method = "none" }), "OBEYS UNABLE UNABLE", "no agent"},
		"CRLs of an older act": {list, &Set{Revision: 3, For: 6, Problem: "old"}, good, "OBEYS WAITING OBEYS", "not made yet"},
		"no CRL possible":      {list, &Set{Revision: 3, For: 7, Problem: "lost"}, good, "OBEYS UNABLE OBEYS", "lost"},
		"an issuer is revoked and no CRL possible": {&List{Revision: 7, Issuers: []Issuer{{}}}, &Set{Revision: 3, For: 7, Problem: "lost"}, good, "OBEYS WAITING OBEYS", "lost"},
		"CRLs behind": {list, &Set{Revision: 3, For: 7, CRLs: in.CRLs, Problem: "behind"}, good, "OBEYS WAITING OBEYS", "behind"},
	} {
		deny, crl, cut := Mechanisms(c.list, c.set, c.proxy)
		if got := string(deny.State + " " + crl.State + " " + cut.State); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if says := deny.Detail + "|" + crl.Detail + "|" + cut.Detail; !strings.Contains(says, c.says) {
			t.Errorf("%s: says %q, want %q", name, says, c.says)
		}
	}
}

func TestProgress(t *testing.T) {
	list, set := &List{Revision: 7}, &Set{Revision: 3, For: 7, CRLs: [][]byte{{1}}}
	good := Proxy{Name: "shop/b", Connected: true, Agent: true, DenyAcked: true, Revision: 7, CRLRevision: 3, Method: "drain"}
	bare := Proxy{Name: "shop/c", Connected: true, DenyAcked: true}
	late := Proxy{Name: "shop/a", Connected: true, Agent: true, Revision: 7, CRLRevision: 2, Method: "pidfd", Open: 2}
	got := Progress(list, set, []Proxy{good, bare, late})
	want := Status{
		Revision: 7, Proxies: 3, DenyAcked: 2, CRLAcked: 1, CutAcked: 1, Open: 2, Unverifiable: []string{"shop/c"},
		Laggards: []Laggard{{Name: "shop/a", Connected: true, Open: 2, Missing: []string{
			"deny: not acknowledged", "crl: has set 2 of 3", "cut: 2 connections still open",
		}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s := Progress(list, set, []Proxy{good, bare}); !s.Done || s.DenyAcked != 2 || s.CutAcked != 1 {
		t.Errorf("all obey: %+v", s)
	}
	if s := Progress(list, set, nil); !s.Done {
		t.Errorf("nobody is there: %+v", s)
	}
}
