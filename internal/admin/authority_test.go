package admin

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/ca/rotation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// introducing are CRLs with an issuer that waits for many.
type introducing struct {
	without
	issuer *revocation.Introduction
}

func (i introducing) Introducing() *revocation.Introduction { return i.issuer }

// TestWhatAils: each root with since when, the place of the one that signs, and whom the
// next issuer waits for, of many the first.
func TestWhatAils(t *testing.T) {
	c := newCarousel()
	since := time.Unix(3, 0)
	c.status.Roots[0].Problem, c.status.Roots[0].ProblemSince = errors.New("away: start it"), since
	c.status.Roots = append(c.status.Roots, rotation.RootStatus{Fingerprint: "f2"})
	s, ctx := office(t.Context(), c)
	waiting := make([]string, 150)
	for n := range waiting {
		waiting[n] = fmt.Sprintf("shop/web-%03d", n)
	}
	s.config.CRLs = introducing{issuer: &revocation.Introduction{Issuer: "2f", Waiting: waiting, Until: time.Unix(8, 0)}}
	s.config.Upstream = func() Upstream {
		return Upstream{Place: "vault", Problem: fmt.Errorf("root f1: %w", &rotation.Ailment{Err: errors.New("sealed"), Since: since})}
	}
	a, err := s.GetAuthority(ctx, &ensignv1.GetAuthorityRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if r := a.Roots[0]; r.Problem != "away: start it" || !r.ProblemSince.AsTime().Equal(since) || a.Roots[1].Problem != "" || a.Roots[1].ProblemSince != nil {
		t.Errorf("roots: %v", a.Roots)
	}
	if u := a.Upstream; u.Problem != "root f1: sealed" || !u.ProblemSince.AsTime().Equal(since) {
		t.Errorf("upstream: %v", u)
	}
	if i := a.Issuer.Introduction; i.GetSerial() != "2f" || len(i.Laggards) != shownLaggards || i.Waiting != 150 || i.Until.AsTime().Unix() != 8 {
		t.Errorf("introduction: %v", i)
	}
	s.config.CRLs = without{}
	if a, err = s.GetAuthority(ctx, &ensignv1.GetAuthorityRequest{}); err != nil || a.Issuer.Introduction != nil {
		t.Errorf("nobody is waited for: %v, %v", a.GetIssuer(), err)
	}
}
