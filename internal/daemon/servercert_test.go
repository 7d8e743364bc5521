package daemon

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// press makes server certificates with one issuer.
type press struct {
	t      *testing.T
	issuer *certifier
	made   int
	// life is what the CA clips it to; 0: nothing.
	life time.Duration
	// none: there is no issuer in force.
	none atomic.Bool
}

func (p *press) IssueServer(context.Context, ca.ServerRequest) (ca.Issued, error) {
	if p.none.Load() {
		return ca.Issued{}, ca.ErrIssuerExpired
	}
	p.made++
	leaf := certify(p.t, "leaf", false, p.issuer).cert
	if p.life > 0 {
		leaf.NotAfter = time.Now().Add(p.life)
	}
	return ca.Issued{Leaf: leaf, Issuers: []*x509.Certificate{p.issuer.cert}}, nil
}

// none of the issuers is revoked.
func none(string) bool { return false }

// proving is an identity that has proven itself, if it could, and does not run yet.
func proving(t *testing.T, made *press, roots *teacher, revoked func(serial string) bool) *serverIdentity {
	t.Helper()
	s, err := newServerIdentity(t.Context(), made, roots, nil, revoked, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAServerCertificateOfARevokedIssuer is replaced as soon as another issuer signs one,
// whether the revoked one was in force or not.
func TestAServerCertificateOfARevokedIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := certify(t, "a", true, nil)
		issuer := certify(t, "i", true, a)
		time.Sleep(time.Second) // for another serial
		next := certify(t, "i2", true, a)
		roots, made := &teacher{}, &press{t: t, issuer: issuer}
		roots.teach(t, 1, nil, a.cert)
		var out atomic.Bool
		revoked := func(serial string) bool { return out.Load() && serial == issuer.cert.SerialNumber.Text(16) }
		s := proving(t, made, roots, revoked)
		go s.run(t.Context())
		time.Sleep(90 * time.Second)
		s.look()
		synctest.Wait()
		if made.made != 1 {
			t.Errorf("%d were made while nothing is revoked", made.made)
		}
		made.none.Store(true)
		out.Store(true)
		s.look()
		time.Sleep(30 * time.Second) // nothing is signed yet
		made.issuer = next
		made.none.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if shown, err := s.ServerCertificate(); err != nil || !bytes.Equal(shown.Certificate[1], next.cert.Raw) || made.made != 2 {
			t.Errorf("%v, %d were made", err, made.made)
		}
	})
}

// TestTheServerShowsHowItCameToItsRoots: behind leaf and issuer come the roots, and the
// links, as they are at that moment.
func TestTheServerShowsHowItCameToItsRoots(t *testing.T) {
	a, b := certify(t, "a", true, nil), certify(t, "b", true, nil)
	link := certify(t, "b", true, a).cert
	roots := &teacher{}
	roots.teach(t, 1, nil, a.cert)
	s := proving(t, &press{t: t, issuer: certify(t, "i", true, a)}, roots, none)
	for n, want := range []int{3, 5} {
		shown, err := s.ServerCertificate()
		again, _ := s.ServerCertificate()
		if err != nil || len(shown.Certificate) != want || shown != again {
			t.Errorf("step %d: %d certificates, %v; want %d", n, len(shown.Certificate), err, want)
		}
		if _, err := b.cert.Verify(x509.VerifyOptions{Roots: s.ClientRoots()}); (err == nil) != (n == 1) {
			t.Errorf("step %d: clients of the second root: %v", n, err)
		}
		roots.teach(t, 2, []*x509.Certificate{link}, a.cert, b.cert)
	}
	shown, _ := s.ServerCertificate()
	if last := shown.Certificate[4]; string(last) != string(link.Raw) {
		t.Error("the link is not the last")
	}
}

func TestTheServerCertificateSettlesOnTheRootThatSigns(t *testing.T) {
	a, b := certify(t, "a", true, nil), certify(t, "b", true, nil)
	roots, made := &teacher{}, &press{t: t, issuer: certify(t, "i", true, a)}
	roots.teach(t, 1, nil, a.cert)
	s := proving(t, made, roots, none)
	if err := s.settle(t.Context(), a.cert); err != nil || made.made != 1 {
		t.Errorf("it leads there: %v, %d were made", err, made.made)
	}
	if err := s.settle(t.Context(), b.cert); err == nil {
		t.Error("it says that it leads to a root that its issuer does not lead to")
	}
	made.issuer = certify(t, "i2", true, b)
	if err := s.settle(t.Context(), b.cert); err != nil {
		t.Error(err)
	}
}

func TestWhenTheServerCertificateIsDue(t *testing.T) {
	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	held := &proven{made: made, issued: ca.Issued{
		Leaf: &x509.Certificate{NotBefore: made.Add(-10 * time.Minute), NotAfter: made.Add(serverLife)}}}
	for name, c := range map[string]struct {
		after time.Duration
		want  bool
	}{
		"new":                          {0, false},
		"before half":                  {serverLife/2 - time.Second, false},
		"half":                         {serverLife / 2, true},
		"expired":                      {2 * serverLife, true},
		"clock set back, but not much": {-9 * time.Minute, false},
		"clock set back":               {-time.Hour, true},
	} {
		if got := held.due(made.Add(c.after)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestAServerCertificateOfAShortLife is replaced at half of that, and no sooner: each
// is an entry of the ledger.
func TestAServerCertificateOfAShortLife(t *testing.T) {
	for life, most := range map[time.Duration]int{10 * time.Second: 125, time.Minute: 22, time.Hour: 1} {
		t.Run(life.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := certify(t, "a", true, nil)
				roots, made := &teacher{}, &press{t: t, issuer: certify(t, "i", true, a), life: life}
				roots.teach(t, 1, nil, a.cert)
				s := proving(t, made, roots, none)
				go s.run(t.Context())
				for range 300 {
					time.Sleep(2 * time.Second)
					shown, err := s.ServerCertificate()
					if err != nil || time.Until(shown.Leaf.NotAfter) < life/4 {
						t.Fatalf("%v, of %s", err, life)
					}
				}
				synctest.Wait()
				if made.made > most {
					t.Errorf("%d certificates in %s", made.made, 600*time.Second)
				}
			})
		})
	}
}

// TestThereIsNoServerCertificateYet: agents are refused, and as soon as something can be
// issued they are not.
func TestThereIsNoServerCertificateYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := certify(t, "a", true, nil)
		roots, made := &teacher{}, &press{t: t, issuer: certify(t, "i", true, a)}
		made.none.Store(true)
		roots.teach(t, 1, nil, a.cert)
		s := proving(t, made, roots, none)
		go s.run(t.Context())
		if _, err := s.ServerCertificate(); err == nil || s.ClientRoots() == nil {
			t.Errorf("there is a certificate: %v", err)
		}
		time.Sleep(time.Minute)
		made.none.Store(false)
		time.Sleep(2 * time.Second)
		if shown, err := s.ServerCertificate(); err != nil || len(shown.Certificate) != 3 {
			t.Errorf("%+v, %v", shown, err)
		}
	})
}
