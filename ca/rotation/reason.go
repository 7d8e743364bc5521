package rotation

import (
	"fmt"
	"time"
)

// reason is why an instance is waited for, in words that a person can act on. What its
// agent says itself comes first: that is where the cure is.
func (q *question) reason(i *Instance, v verdict) string {
	text := q.cause(i, v.why)
	if i.Report != nil && i.Report.Problem != "" {
		text = "its agent says: " + i.Report.Problem + "; " + text
	}
	switch {
	case v.why == silent:
	case !i.Connected && v.why != away:
		text += fmt.Sprintf("; its agent is not connected, last heard of at %s", clock(i.Report.ReceivedAt))
	}
	if i.Doubt != "" {
		text += "; " + i.Doubt
	}
	if v.passed {
		text += fmt.Sprintf("; passed over, since there was no sign of it for %s", q.after)
	}
	return text
}

func (q *question) cause(i *Instance, w why) string {
	switch w {
	case silent:
		if i.Connected {
			return "its agent is connected and has not reported yet"
		}
		return "nothing reports for it: a foreign agent or a gRPC client, or an Ensign agent that never reached ensignd"
	case clockOff:
		return fmt.Sprintf("its clock is %s: more than %s is too far for new certificates, set it", skew(i.Report.Skew), MaxSkew)
	case tooEarly:
		return fmt.Sprintf("its clock is %s, and the new root is valid from %s: set it, or wait until then", skew(i.Report.Skew), clock(q.from))
	case otherBundle:
		switch q.step {
		case Preparing:
			return "its Envoy has not acknowledged the bundle that is in force now"
		case Retiring:
			return "its Envoy has not acknowledged the bundle without the old root"
		}
		return "its Envoy has not acknowledged the bundle with the new root"
	case otherTrust:
		if i.Report.TrustSequence == 0 {
			return "its Envoy has such a bundle, and its agent does not say that it is the one of this step: it has heard of none yet, or is older than ensignd, then replace it"
		}
		return fmt.Sprintf("its Envoy has such a bundle as the bundle of another step, and has not acknowledged the one that was told at %s", clock(q.since))
	case unrenewed:
		return "its SVID does not lead to the new root yet"
	case unproven:
		return "it has an SVID of the new root that its Envoy has not acknowledged"
	case away:
		return fmt.Sprintf("its agent is not connected, last heard of at %s", clock(i.Report.ReceivedAt))
	}
	return ""
}

func skew(d time.Duration) string {
	if d = d.Round(time.Second); d < 0 {
		return fmt.Sprintf("%s behind ours", -d)
	} else if d > 0 {
		return fmt.Sprintf("%s ahead of ours", d)
	}
	return "as ours"
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
