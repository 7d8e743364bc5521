package daemon

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestWhenTheServerCertificateIsDue(t *testing.T) {
	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	leaf := &x509.Certificate{NotBefore: made.Add(-10 * time.Minute), NotAfter: made.Add(serverLife)}
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
		if got := due(leaf, made.Add(c.after)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
