package admin

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca/revocation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// axe cuts off whomever it is told to.
type axe struct {
	drill
	cut []string
}

func (a *axe) Do(_ context.Context, _ string, v revocation.Verb, t revocation.Target, _ string) (revocation.Act, *revocation.List, error) {
	a.cut = append(a.cut, string(v)+" "+t.Value)
	return revocation.Act{Verb: v, Target: t}, &revocation.List{}, nil
}

// TestTheOnlyIssuerOfARootIsNotRevoked: no agent would take ensignd for ensignd any more,
// and none would hear of the root that has to come next.
func TestTheOnlyIssuerOfARootIsNotRevoked(t *testing.T) {
	for name, c := range map[string]struct {
		sole        bool
		kind, value string
		want        codes.Code
	}{
		"the only one, in force":   {true, "issuer", "1f", codes.FailedPrecondition},
		"the only one, left":       {true, "issuer", "2f", codes.OK},
		"another takes its place":  {false, "issuer", "1f", codes.OK},
		"an SVID with that serial": {true, "serial", "1f", codes.OK},
	} {
		s, ctx := office(t.Context(), newCarousel())
		cuts := &axe{}
		s.config.Register, s.config.Issuing, s.config.TrustDomain = cuts, mint{sole: c.sole}, td
		asked := &ensignv1.CutOffRequest{Verb: "revoke", Kind: c.kind, Value: c.value}
		if _, err := s.CutOff(ctx, asked); status.Code(err) != c.want || (len(cuts.cut) > 0) != (c.want == codes.OK) {
			t.Errorf("%s: %v, %v", name, err, cuts.cut)
		}
		asked.Plan = true
		if c.want == codes.OK {
			continue
		}
		if _, err := s.CutOff(ctx, asked); status.Code(err) != c.want {
			t.Errorf("%s: planned: %v", name, err)
		}
	}
}
