package agent

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// dynasty is roots that followed one on another.
type dynasty struct {
	t     testing.TB
	roots []*sdstest.Authority
	// links[i] leads from roots[i] to roots[i+1].
	links []*x509.Certificate
}

func newDynasty(t testing.TB, n int) dynasty {
	d := dynasty{t: t}
	for i := range n {
		d.roots = append(d.roots, sdstest.Named(t, fmt.Sprintf("Ensign root %d", i)))
		if i > 0 {
			d.links = append(d.links, d.roots[i-1].Link(t, d.roots[i], nil))
		}
	}
	return d
}

func (d dynasty) last() *sdstest.Authority { return d.roots[len(d.roots)-1] }

// shows is the chain of a server under a root, with what it shows behind that.
func (d dynasty) shows(under *sdstest.Authority, behind ...*x509.Certificate) []*x509.Certificate {
	return append([]*x509.Certificate{under.Server(d.t, defaultServerName).Leaf, under.Issuer}, behind...)
}

var testCheck = serverCheck{
	name: defaultServerName, trustDomain: spiffeid.RequireTrustDomainFromString("cluster.local"), bundleFile: "/etc/bundle.pem", rootsFile: "/run/roots",
}

// follows is where a walk ends: the root, "straight" if none is needed, or "refused".
func follows(trusted *sdstest.Authority, shown []*x509.Certificate) string {
	root, err := testCheck.verify([]*x509.Certificate{trusted.Root}, shown, time.Now())
	switch {
	case err != nil:
		return "refused"
	case root == nil:
		return "straight"
	}
	return root.Subject.CommonName
}

// TestTheWalk: an agent that was away comes back over the links, and over nothing that
// only looks like one.
func TestTheWalk(t *testing.T) {
	d := newDynasty(t, 4)
	first, second, last := d.roots[0], d.roots[1], d.last()
	evil, usurper, impostor := sdstest.Named(t, "Ensign root 3"), first.Usurper(t), sdstest.Named(t, "Ensign root 0")
	link := func(from, to *sdstest.Authority, spoil func(*x509.Certificate)) *x509.Certificate {
		return from.Link(t, to, spoil)
	}
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }
	early := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }
	other := func(c *x509.Certificate) { c.Subject.Organization = []string{"other.local"} }
	leaf := func(c *x509.Certificate) {
		c.IsCA, c.MaxPathLenZero, c.KeyUsage = false, false, x509.KeyUsageDigitalSignature
	}
	noSign := func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }
	named := func(c *x509.Certificate) {
		c.Subject = pkix.Name{Organization: []string{"cluster.local"}, CommonName: "Ensign issuer x"}
	}
	backwards := slices.Clone(d.links)
	slices.Reverse(backwards)
	with := func(links []*x509.Certificate, more ...*x509.Certificate) []*x509.Certificate {
		return d.shows(last, append(more, links...)...)
	}
	for name, c := range map[string]struct {
		shown []*x509.Certificate
		want  string
	}{
		"a root that is trusted":             {d.shows(first), "straight"},
		"trusted, with all links":            {d.shows(first, append(d.links, last.Root)...), "straight"},
		"three links":                        {with(d.links, last.Root), "Ensign root 3"},
		"in another order":                   {with(backwards, last.Root), "Ensign root 3"},
		"the link before the root":           {d.shows(second, d.links[0], second.Root), "Ensign root 1"},
		"links as intermediates":             {with(d.links), "refused"},
		"without one link":                   {with([]*x509.Certificate{d.links[0], d.links[2]}, last.Root), "refused"},
		"without links":                      {with(nil, last.Root), "refused"},
		"a link of an issuer":                {with([]*x509.Certificate{first.IssuerLink(t, last)}, last.Root), "refused"},
		"an issuer as a link":                {with([]*x509.Certificate{link(first, last, named)}, last.Root), "refused"},
		"an issuer that calls itself a root": {d.shows(usurper, first.Issuer, usurper.Root), "refused"},
		"a link by a namesake":               {with([]*x509.Certificate{link(impostor, last, nil)}, last.Root, impostor.Root), "refused"},
		"an expired link":                    {with([]*x509.Certificate{link(first, last, expired)}, last.Root), "refused"},
		"a link of later":                    {with([]*x509.Certificate{link(first, last, early)}, last.Root), "refused"},
		"a link of another mesh":             {with([]*x509.Certificate{link(first, last, other)}, last.Root), "refused"},
		"a leaf as a link":                   {with([]*x509.Certificate{link(first, last, leaf)}, last.Root), "refused"},
		"a link that may not sign":           {with([]*x509.Certificate{link(first, last, noSign)}, last.Root), "refused"},
		"a link by a stranger":               {with([]*x509.Certificate{link(evil, last, nil)}, last.Root, evil.Root), "refused"},
		"a root of the link's name":          {d.shows(evil, append(d.links, evil.Root)...), "refused"},
		"and both of that name":              {d.shows(evil, append(d.links, evil.Root, last.Root)...), "refused"},
		"another root that is linked":        {d.shows(evil, d.links[0], second.Root, evil.Root), "refused"},
		"the way back":                       {d.shows(last, link(second, first, nil), first.Root), "refused"},
		"a circle, and out of it":            {with(append([]*x509.Certificate{link(second, first, nil)}, d.links...), last.Root), "Ensign root 3"},
		"nothing":                            {nil, "refused"},
		"only roots":                         {[]*x509.Certificate{last.Root, d.links[0]}, "refused"},
		"more than is looked at":             {with(append(slices.Repeat([]*x509.Certificate{evil.Root}, maxShown), d.links...), last.Root), "refused"},
	} {
		if got := follows(first, c.shown); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// An issuer's certificate is no link, even if whoever has its key made a root of it.
// Nor is what leads to a root of another trust domain.
func TestOnlyRootsAreReached(t *testing.T) {
	d := newDynasty(t, 2)
	first, second, now := d.roots[0], d.roots[1], time.Now()
	usurper := first.Usurper(t)
	for name, c := range map[string]struct {
		shown       []*x509.Certificate
		trustDomain string
		want        int
	}{
		"a root":               {[]*x509.Certificate{d.links[0], second.Root}, "cluster.local", 1},
		"an issuer":            {[]*x509.Certificate{first.Issuer, usurper.Root}, "cluster.local", 0},
		"another trust domain": {[]*x509.Certificate{d.links[0], second.Root}, "other.local", 0},
		"what is trusted":      {[]*x509.Certificate{d.links[0], second.Link(t, first, nil), first.Root}, "cluster.local", 0},
	} {
		if got := reach([]*x509.Certificate{first.Root}, c.shown, spiffeid.RequireTrustDomainFromString(c.trustDomain), now); len(got) != c.want {
			t.Errorf("%s: %d roots are reached, want %d", name, len(got), c.want)
		}
	}
}

// A hundred rotations are walked; a hundred links that lead nowhere cost little.
func TestAHundredLinks(t *testing.T) {
	d := newDynasty(t, 101)
	if got := follows(d.roots[0], d.shows(d.last(), append(d.links, d.last().Root)...)); got != "Ensign root 100" {
		t.Errorf("%s", got)
	}
	// All of the same names, so that no name tells which of them to try.
	last := sdstest.Named(t, "Ensign root x")
	var forged []*x509.Certificate
	for range 100 {
		forged = append(forged, sdstest.Named(t, "Ensign root 0").Link(t, last, nil))
	}
	began := time.Now()
	if got := follows(d.roots[0], d.shows(last, append(forged, last.Root)...)); got != "refused" {
		t.Errorf("%s", got)
	}
	t.Logf("100 forged links took %s", time.Since(began))
}

// Whether a link passes for an intermediate certificate, as one without limits would,
// makes no difference: the root behind it is learned.
func TestALinkedChainIsNotStraight(t *testing.T) {
	first, d := sdstest.New(t), newDynasty(t, 1)
	link := first.Link(t, d.last(), func(c *x509.Certificate) {
		c.MaxPathLenZero, c.PermittedURIDomains, c.PermittedDNSDomains = false, nil, nil
	})
	chains, err := testCheck.chains([]*x509.Certificate{first.Root}, d.shows(d.last(), link), time.Now())
	if err != nil || len(chains) != 1 || !testCheck.linked(chains[0], time.Now()) {
		t.Fatalf("%d chains, %v: the test is of no use", len(chains), err)
	}
	if got := follows(first, d.shows(d.last(), link, d.last().Root)); got != "Ensign root 0" {
		t.Error(got)
	}
	if got := follows(first, d.shows(d.last(), link)); got != "straight" {
		t.Errorf("%s: it is a good chain, though nobody shows where it leads", got)
	}
}

// Who cannot come back is told what to do, and about whom.
func TestWhoCannotComeBackIsToldWhatToDo(t *testing.T) {
	d := newDynasty(t, 2)
	ended := *d.roots[0].Root
	ended.NotAfter = time.Now().Add(-time.Second)
	for name, c := range map[string]struct {
		trusted *x509.Certificate
		shown   []*x509.Certificate
		claims  string
	}{
		"no link":             {d.roots[0].Root, d.shows(d.roots[1], d.roots[1].Root), "Ensign root 1"},
		"neither root":        {d.roots[0].Root, d.shows(d.roots[1]), "Ensign root 1"},
		"a link and no root":  {d.roots[0].Root, d.shows(d.roots[1], d.links[0]), "Ensign root"},
		"the root has ended":  {&ended, d.shows(d.roots[0], d.roots[0].Root), "Ensign root 0"},
		"a walk from the end": {&ended, d.shows(d.roots[1], d.links[0], d.roots[1].Root), "Ensign root 1"},
	} {
		_, err := testCheck.verify([]*x509.Certificate{c.trusted}, c.shown, time.Now())
		for _, want := range []string{"Ensign root 0", c.claims, "/etc/bundle.pem", "/run/roots", "ensignd's data folder"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v lacks %q", name, err, want)
			}
		}
	}
	if _, err := testCheck.verify([]*x509.Certificate{d.roots[0].Root}, d.shows(d.roots[0])[1:], time.Now()); err == nil || strings.Contains(err.Error(), "/run/roots") {
		t.Errorf("%v: a wrong name is not for the bundle file to cure", err)
	}
}

// FuzzWalk: a chain that is shown is refused, or leads to a root that is shown and to
// which the trusted one leads; bits of certificates are flipped, and parts left out.
func FuzzWalk(f *testing.F) {
	d := newDynasty(f, 4)
	shown := d.shows(d.last(), append(d.links, d.last().Root)...)
	f.Add([]byte{}, uint16(0), byte(0))
	f.Add([]byte{2, 3, 4}, uint16(100), byte(1))
	f.Add([]byte{0, 1, 5, 4, 3, 2}, uint16(300), byte(128))
	f.Fuzz(func(t *testing.T, order []byte, at uint16, flip byte) {
		var picked []*x509.Certificate
		for _, i := range order {
			cert := shown[int(i)%len(shown)]
			if flip != 0 && int(at)%len(shown) == int(i)%len(shown) {
				der := slices.Clone(cert.Raw)
				der[int(at)%len(der)] ^= flip
				spoilt, err := x509.ParseCertificate(der)
				if err != nil {
					return
				}
				cert = spoilt
			}
			picked = append(picked, cert)
		}
		root, err := testCheck.verify([]*x509.Certificate{d.roots[0].Root}, picked, time.Now())
		switch {
		case err == nil && root == nil && (len(picked) == 0 || !picked[0].Equal(shown[0])):
			t.Error("a stranger was let in")
		case root != nil && !root.Equal(d.last().Root):
			t.Errorf("it leads to %q", root.Subject)
		case root != nil:
			for _, link := range d.links {
				if !slices.ContainsFunc(picked, link.Equal) {
					t.Error("a link was not needed")
				}
			}
		}
	})
}
