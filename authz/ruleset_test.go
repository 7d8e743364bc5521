package authz

import (
	"errors"
	"strings"
	"testing"
)

func TestUncompiledDenies(t *testing.T) {
	var missing *Ruleset
	for name, set := range map[string]*Ruleset{"nil": missing, "zero": {}} {
		for _, http := range []bool{true, false} {
			if v := set.Evaluate(Request{HTTP: http}); v.Allowed {
				t.Errorf("%s ruleset, HTTP %v: %s", name, http, v)
			}
		}
	}
}

func TestErrorsNameTheField(t *testing.T) {
	_, err := Compile([]*Policy{{
		Namespace: "shop", Name: "p", Action: Allow,
		Rules: []Rule{{}, {To: []Operation{{Ports: []string{"http"}}}}},
	}})
	var e *Error
	if !errors.As(err, &e) || e.Rule != 1 || e.Field != "to.operation.ports" {
		t.Fatalf("got %v", err)
	}
}

// Two policies of one name must not replace each other in a proxy's map.
func TestNamesAreUnique(t *testing.T) {
	p := &Policy{Namespace: "shop", Name: "p", Action: Deny, Rules: []Rule{{}}}
	set, err := Compile([]*Policy{p, p})
	if err != nil {
		t.Fatal(err)
	}
	if deny := set.HTTP().Deny; len(deny) != 2 || deny[0].Name == deny[1].Name {
		t.Fatalf("got %+v", deny)
	}
}

// FuzzValue: whatever stands in a list, compiling does not panic, and a value
// that is refused admits nobody in an ALLOW and stops everybody in a DENY.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{"", "*", "**", "a*", "*a", "a*b", "10.0.0.0/8", "::1", "0", "65536", "{*}", "ns/sa", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		v := []string{value}
		rules := []Rule{
			{From: []Source{{Principals: v}}}, {From: []Source{{Namespaces: v}}}, {From: []Source{{ServiceAccounts: v}}},
			{From: []Source{{IPBlocks: v}}}, {To: []Operation{{Hosts: v}}}, {To: []Operation{{Ports: v}}},
			{To: []Operation{{Methods: v}}}, {To: []Operation{{Paths: v}}}, {When: []Condition{{Key: "connection.sni", Values: v}}},
			{When: []Condition{{Key: value, Values: v}}}, {When: []Condition{{Key: "request.headers[" + value + "]", Values: v}}},
		}
		for _, rule := range rules {
			allow, err := Compile([]*Policy{{Action: Allow, Rules: []Rule{rule}}})
			if got := allow.Evaluate(Request{HTTP: true}); err != nil && got.Allowed {
				t.Errorf("ALLOW %+v: %s despite %v", rule, got, err)
			}
			deny, err := Compile([]*Policy{{Action: Deny, Rules: []Rule{rule}}})
			if got := deny.Evaluate(Request{HTTP: true}); err != nil && got.Allowed {
				t.Errorf("DENY %+v: %s despite %v", rule, got, err)
			}
			if err != nil && strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
		}
	})
}
