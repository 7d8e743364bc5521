package ca_test

import (
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

func TestProfileCeilings(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		config ca.ProfileConfig
		ok     bool
	}{
		"defaults":                     {ca.ProfileConfig{}, true},
		"one hour":                     {ca.ProfileConfig{Lifetime: time.Hour}, true},
		"five minutes":                 {ca.ProfileConfig{Lifetime: 5 * time.Minute, IssuerLifetime: time.Hour}, true},
		"ten seconds, allowed":         {ca.ProfileConfig{Lifetime: 10 * time.Second, Short: true}, true},
		"ten seconds, not allowed":     {ca.ProfileConfig{Lifetime: 10 * time.Second}, false},
		"floor lowered by hand":        {ca.ProfileConfig{MinLifetime: 10 * time.Second}, false},
		"nine seconds":                 {ca.ProfileConfig{Lifetime: 9 * time.Second, Short: true}, false},
		"eight days":                   {ca.ProfileConfig{MaxLifetime: 8 * day}, false},
		"default over the longest":     {ca.ProfileConfig{Lifetime: 2 * day, MaxLifetime: day}, false},
		"default under the shortest":   {ca.ProfileConfig{Lifetime: time.Hour, MinLifetime: 2 * time.Hour}, false},
		"negative":                     {ca.ProfileConfig{Lifetime: -time.Hour}, false},
		"issuer of a month and a day":  {ca.ProfileConfig{IssuerLifetime: 31 * day}, false},
		"issuer shorter than two SVID": {ca.ProfileConfig{Lifetime: day, IssuerLifetime: 2*day - time.Second}, false},
		"negative issuer":              {ca.ProfileConfig{IssuerLifetime: -day}, false},
	} {
		if _, err := ca.NewProfile(c.config); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
