package authz

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestGuardsTCP(t *testing.T) {
	port := func(ports ...string) []Operation { return []Operation{{Ports: ports}} }
	alice := []Source{{Principals: []string{"td/ns/shop/sa/alice"}}}
	for name, c := range map[string]struct {
		policies []*Policy
		guarded  []uint32 // of 0 (any other), 1, 2
	}{
		"no policy":               {nil, nil},
		"a DENY of a name":        {[]*Policy{{Action: Deny, Rules: []Rule{{From: alice}}}}, []uint32{0, 1, 2}},
		"a DENY on a port":        {[]*Policy{{Action: Deny, Rules: []Rule{{From: alice, To: port("1")}}}}, []uint32{1}},
		"a DENY but on a port":    {[]*Policy{{Action: Deny, Rules: []Rule{{To: []Operation{{NotPorts: []string{"1"}}}}}}}, []uint32{0, 2}},
		"a DENY when on a port":   {[]*Policy{{Action: Deny, Rules: []Rule{{When: []Condition{{Key: "destination.port", Values: []string{"2"}}}}}}}, []uint32{2}},
		"a DENY that asks HTTP":   {[]*Policy{{Action: Deny, Rules: []Rule{{To: []Operation{{Ports: []string{"1"}, Paths: []string{"/a"}}}}}}}, []uint32{1}},
		"a DENY without rules":    {[]*Policy{{Action: Deny}}, nil},
		"an ALLOW of a name":      {[]*Policy{{Action: Allow, Rules: []Rule{{From: alice}}}}, []uint32{0, 1, 2}},
		"an ALLOW on a port":      {[]*Policy{{Action: Allow, Rules: []Rule{{From: alice}, {To: port("1")}}}}, []uint32{0, 2}},
		"an ALLOW when on a port": {[]*Policy{{Action: Allow, Rules: []Rule{{When: []Condition{{Key: "destination.port", Values: []string{"2"}}}}}}}, []uint32{0, 1}},
		"an ALLOW of everything":  {[]*Policy{{Action: Allow, Rules: []Rule{{}}}}, nil},
		"an ALLOW that asks HTTP": {[]*Policy{{Action: Allow, Rules: []Rule{{To: []Operation{{Ports: []string{"1"}, Paths: []string{"/a"}}}}}}}, []uint32{0, 1, 2}},
		"an unknown action":       {[]*Policy{{Action: "AUDIT"}}, []uint32{0, 1, 2}},
	} {
		set, _ := Compile(c.policies)
		var got []uint32
		for number := range uint32(3) {
			if set.GuardsTCP(number) {
				got = append(got, number)
			}
		}
		if !slices.Equal(got, c.guarded) {
			t.Errorf("%s: guards %v, want %v", name, got, c.guarded)
		}
	}
	var missing *Ruleset
	if !missing.GuardsTCP(1) {
		t.Error("a ruleset that was never compiled denies all and guards nothing")
	}
}

// A connection that is refused went to a guarded port, whether named or not.
func TestRefusedConnectionsWereGuarded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set, _ := Compile(drawPolicies(t))
		req := drawRequest(t)
		req.HTTP = false
		asked := req.DestinationPort
		if !slices.Contains(set.TCPPorts(), asked) {
			asked = 0
		}
		if v := set.Evaluate(req); !v.Allowed && !set.GuardsTCP(asked) {
			t.Fatalf("port %d is unguarded, yet %s", asked, v)
		}
	})
}
