package agent

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Whose SVID was revoked is back with another as soon as it has one, however long
// it was turned away meanwhile: who is cut off comes by this stream.
func TestANewSVIDIsShownAtOnce(t *testing.T) {
	control := newControlPlane(t)
	control.set(func() { control.refusing = []string{"reports"} })
	startAgent(t, control.config(t))
	next(t, "report", control.reports, func(*ensignv1.Report) bool { return true })
	control.set(func() {
		control.forgotten = control.leaves[0].SerialNumber.Text(16)
		control.refuse = status.Error(codes.PermissionDenied, "revoked: use a token made later")
		control.connects = nil
	})
	control.server.Stop()
	control.serve(control.address)
	eventually(t, "its streams are refused again and again", func() bool {
		control.mu.Lock()
		defer control.mu.Unlock()
		return len(control.connects) >= 4
	})
	control.set(func() { control.refuse = nil })
	var renewed time.Time
	eventually(t, "it has another SVID", func() bool {
		control.mu.Lock()
		defer control.mu.Unlock()
		renewed = time.Now()
		return len(control.leaves) == 2
	})
	next(t, "report by it", control.reports, func(*ensignv1.Report) bool { return true })
	if took := time.Since(renewed); took > reconnectFirst {
		t.Errorf("back after %s", took)
	}
}

// Who gets no SVID, as an agent that starts while its identity is in quarantine,
// hears all the same who is cut off, and obeys; with an SVID it moves there.
func TestWithoutAnSVIDReportsAreProvenByTheToken(t *testing.T) {
	control := newControlPlane(t)
	control.set(func() {
		control.refuse = status.Error(codes.PermissionDenied, "quarantined")
		control.cutOff = &ensignv1.CutOff{Revision: 7}
	})
	startAgent(t, control.config(t))
	next(t, "report of obedience", control.reports, func(r *ensignv1.Report) bool { return r.GetObedience().GetRevision() == 7 })
	control.set(func() {
		for _, shown := range control.connects {
			if shown.token != "Bearer "+testToken || shown.serial != "" {
				t.Errorf("reports proven by %+v", shown)
			}
		}
		if len(control.streams) > 0 {
			t.Error("ADS is relayed without an SVID")
		}
		control.refuse, control.connects = nil, nil
	})
	next(t, "report by the SVID", control.reports, func(*ensignv1.Report) bool {
		control.mu.Lock()
		defer control.mu.Unlock()
		return len(control.connects) == 1 && control.connects[0] == proof{serial: control.leaves[0].SerialNumber.Text(16)}
	})
}
