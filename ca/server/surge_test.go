package server

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

var td = spiffeid.RequireTrustDomainFromString("cluster.local")

// idle issues nothing.
type idle struct{ Issuer }

// TestASurgeIsAnAlert: counted, shown by name, and told to the log once a minute.
func TestASurgeIsAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		reg := prometheus.NewRegistry()
		s, err := New(Config{Issuer: idle{}, Metrics: NewMetrics(reg), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		caller := identity.Caller{Account: account("web"), Pod: "web-1"}
		begun := time.Now()
		for range 90 { // a refusal a second
			s.alert(t.Context(), caller, s.cfg.Limits.tooFast())
			time.Sleep(time.Second)
		}
		s.alert(t.Context(), identity.Caller{Account: account("batch")}, s.cfg.Limits.spent(time.Now()))
		s.alert(t.Context(), caller, errBusy)
		if lines := strings.Count(log.String(), "\n"); lines != 3 || strings.Count(log.String(), account("web").String()) != 2 {
			t.Errorf("the log has %d lines, want web twice and batch once:\n%s", lines, log.String())
		}
		want := `# HELP ensign_issuance_refused_total Certificates refused because their identity asked for too many: a second (rate) or a day (day).
# TYPE ensign_issuance_refused_total counter
ensign_issuance_refused_total{reason="day"} 1
ensign_issuance_refused_total{reason="rate"} 90
# HELP ensign_issuance_surging Identities that were refused a certificate within the last minute because they asked for too many.
# TYPE ensign_issuance_surging gauge
ensign_issuance_surging 2
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "ensign_issuance_refused_total", "ensign_issuance_surging"); err != nil {
			t.Error(err)
		}
		list := s.Surges()
		if len(list) != 2 || list[1] != (Surge{SPIFFEID: account("web").String(), Since: begun, Last: begun.Add(89 * time.Second), Refused: 90}) {
			t.Errorf("surges %+v", list)
		}
		time.Sleep(time.Minute)
		if n := s.cfg.Metrics.surges.surging(time.Now()); n != 0 || len(s.Surges()) != 2 {
			t.Errorf("a minute later %d surge, %d are listed", n, len(s.Surges()))
		}
		time.Sleep(time.Hour)
		if list := s.Surges(); len(list) != 0 {
			t.Errorf("an hour later %+v are listed", list)
		}
	})
}
