package cli

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// laggards is the flag --laggards: what is done about who keeps a gate waiting.
type laggards struct {
	policy ensignv1.Laggards_Policy
	// after is 0 where ensignd chooses.
	after time.Duration
}

const laggardsForms = "wait|skip-offline=DURATION|abort[=DURATION]"

func (l *laggards) Type() string { return laggardsForms }

// String is the flag's own form.
func (l laggards) String() string {
	text := "wait"
	switch l.policy {
	case ensignv1.Laggards_SKIP_OFFLINE:
		text = "skip-offline"
	case ensignv1.Laggards_ABORT:
		text = "abort"
	}
	if l.after != 0 {
		text += "=" + l.after.String()
	}
	return text
}

// Set parses the flag.
func (l *laggards) Set(text string) error {
	name, value, given := strings.Cut(text, "=")
	var after time.Duration
	if given {
		var err error
		if after, err = time.ParseDuration(value); err != nil || after <= 0 {
			return usagef("%q is no duration above 0, such as 15m", value)
		}
	}
	switch {
	case name == "wait" && !given:
		*l = laggards{policy: ensignv1.Laggards_WAIT}
	case name == "skip-offline" && given:
		*l = laggards{policy: ensignv1.Laggards_SKIP_OFFLINE, after: after}
	case name == "abort":
		*l = laggards{policy: ensignv1.Laggards_ABORT, after: after}
	default:
		return usagef("want wait, skip-offline=DURATION or abort[=DURATION]")
	}
	return nil
}

func (l laggards) message() *ensignv1.Laggards {
	m := &ensignv1.Laggards{Policy: l.policy}
	if l.after != 0 {
		m.After = durationpb.New(l.after)
	}
	return m
}

func laggardsOf(m *ensignv1.Laggards) laggards {
	return laggards{policy: m.GetPolicy(), after: m.GetAfter().AsDuration()}
}
