package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// teller shows a person, or a program, how a rotation goes on.
type teller interface {
	// tell is called with every change, and each second. away is why what is told is
	// not news: ensignd does not answer; nil while it does.
	tell(a authority, away error) error
}

// following watches the authority until no rotation runs.
type following struct {
	admin ensignv1.AdminServiceClient
	// limit is how long to follow; 0: as long as it takes.
	limit time.Duration
	told  teller

	// last is the newest answer, with the moment at which it came.
	last authority
	came time.Time
	away error
}

// errLate: time is up, and the rotation goes on.
var errLate = errors.New("time is up")

// run ends with nil when no rotation runs any more; the verdict is the caller's. An
// ensignd that is started again meanwhile is asked again: the rotation is in the ledger.
func (f *following) run(ctx context.Context) error {
	limited, cancel := context.WithCancel(ctx)
	if f.limit > 0 {
		limited, cancel = context.WithTimeout(ctx, f.limit)
	}
	defer cancel()
	for {
		err := f.watch(limited)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case limited.Err() != nil:
			return errLate
		case err == nil && !f.last.Rotation.running():
			return nil
		case err != nil && !passing(err):
			return err
		}
		if f.away = plain(err); err == nil {
			f.away = errors.New("it ended the answer")
		}
		if err := f.tell(); err != nil {
			return err
		}
		select {
		case <-time.After(askAgainAfter):
		case <-limited.Done():
		}
	}
}

// heard is one message of a stream, or its end.
type heard struct {
	say *ensignv1.Authority
	err error
}

// watch reads one stream to its end; nil for an orderly one.
func (f *following) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages := make(chan heard)
	go f.hear(ctx, messages)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case m := <-messages:
			if errors.Is(m.err, io.EOF) {
				return nil
			}
			if m.err != nil {
				return m.err
			}
			f.last, f.came, f.away = authorityOf(m.say), time.Now(), nil
			if err := f.tell(); err != nil {
				return err
			}
		case <-second.C:
			if err := f.tell(); err != nil {
				return err
			}
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// tell shows the newest answer as it is now; nothing before the first.
func (f *following) tell() error {
	if f.came.IsZero() {
		return nil
	}
	return f.told.tell(f.last.later(time.Since(f.came)), f.away)
}

// hear passes the messages of one stream on.
func (f *following) hear(ctx context.Context, messages chan<- heard) {
	stream, err := f.admin.WatchAuthority(ctx, &ensignv1.GetAuthorityRequest{}, grpc.WaitForReady(true))
	for {
		var say *ensignv1.Authority
		if err == nil {
			say, err = stream.Recv()
		}
		select {
		case messages <- heard{say, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// later is the same, seen a while after it was answered.
func (a authority) later(d time.Duration) authority {
	if !a.at.IsZero() {
		a.at = a.at.Add(d)
	}
	return a
}

// verdict is nil if the rotation that was to be followed has come to its end: to the
// end of its rollback, if it was on its way back.
func (a authority) verdict(id string, back bool) error {
	r := a.Rotation
	switch {
	case r == nil || r.ID != id:
		return fmt.Errorf("rotation %s is over and another was begun since; how it ended is in `ensign audit list --kind rotation`", id)
	case r.Outcome == outcomeCompleted && !back, r.Outcome == outcomeRolledBack && back:
		return nil
	case r.Outcome == outcomeRolledBack:
		return fmt.Errorf("rotation %s was rolled back%s; %s signs, as before", id, after(": ", r.whyBack()), r.To.label())
	}
	return fmt.Errorf("rotation %s is %s: see `ensign ca status`", id, r.Outcome)
}

// whyBack is who rolled it back, and why.
func (r rotation) whyBack() string {
	for i := len(r.Timeline) - 1; i >= 0; i-- {
		if e := r.Timeline[i]; e.Verb == "rollback" {
			return printable("by " + e.Actor + after(", ", e.Detail))
		}
	}
	return ""
}

// howTo says what can be done about a rotation that goes on.
const howTo = "`ensign ca status --watch` follows it, `ensign ca pause` halts it, `ensign ca rollback` undoes it"

// late is the verdict when time is up: who is late, and why.
func (r rotation) late(limit time.Duration) error {
	told := fmt.Sprintf("rotation %s is not over within %s and goes on: %s, %s", r.ID, limit, r.Step, r.progress())
	var names []string
	if r.Gate != nil {
		for _, l := range r.Gate.Laggards {
			names = append(names, printable(fmt.Sprintf("%s (%s)", l.Name, l.Reason)))
		}
	}
	if len(names) > 0 {
		told += "; late are " + strings.Join(names, ", ")
		if more := int(r.Gate.Waiting) - len(names); more > 0 {
			told += fmt.Sprintf(" and %d more", more)
		}
	}
	if r.Problem != "" {
		told += "; the last attempt failed: " + printable(r.Problem)
	}
	return errors.New(told + ". " + howTo)
}
