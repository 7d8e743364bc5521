package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

const (
	// Between two lines of progress.
	obeyedEvery = 250 * time.Millisecond
	// Before ensignd, which went away, is asked again.
	askAgainAfter = 200 * time.Millisecond
)

// obedience is how far the mesh follows an act; its keys are stable.
type obedience struct {
	Done      bool      `json:"done"`
	Proxies   uint32    `json:"proxies"`
	DenyAcked uint32    `json:"deny_acked"`
	CRLAcked  uint32    `json:"crl_acked"`
	CutAcked  uint32    `json:"cut_acked"`
	Open      uint32    `json:"open_connections"`
	Laggards  []laggard `json:"laggards"`
	// Unverifiable can't report; servers deny them.
	Unverifiable []string `json:"unverifiable"`
}

type laggard struct {
	Name      string   `json:"name"`
	Missing   []string `json:"missing"`
	Connected bool     `json:"connected"`
	Open      uint32   `json:"open_connections"`
}

func obedienceOf(w *ensignv1.WatchCutOffResponse) obedience {
	o := obedience{
		Done: w.Done, Proxies: w.Proxies, DenyAcked: w.DenyAcked, CRLAcked: w.CrlAcked, CutAcked: w.CutAcked,
		Open: w.OpenConnections, Laggards: []laggard{}, Unverifiable: append([]string{}, w.Unverifiable...),
	}
	for _, l := range w.Laggards {
		o.Laggards = append(o.Laggards, laggard{Name: l.Name, Missing: append([]string{}, l.Missing...), Connected: l.Connected, Open: l.OpenConnections})
	}
	return o
}

// String is one line of progress.
func (o obedience) String() string {
	return fmt.Sprintf("deny %s, crl %s, cut %s, open connections %d",
		of(o.DenyAcked, o.Proxies), of(o.CRLAcked, o.Proxies), of(o.CutAcked, o.Proxies), o.Open)
}

// caveats are what "everybody obeys" does not say.
func (o obedience) caveats() []string {
	var told []string
	if o.Proxies == 0 {
		told = append(told, "no proxy is connected or has a live SVID, so there was nobody to wait for")
	}
	if o.Done && o.CRLAcked < o.Proxies-min(o.Proxies, uint32(len(o.Unverifiable))) {
		told = append(told, "CRLs are not in force at all proxies, so clients there may still take what is cut off for a server: see `ensign revocation list`")
	}
	if len(o.Unverifiable) > 0 {
		told = append(told, "nobody reports of the connections of "+printable(strings.Join(o.Unverifiable, ", "))+": whom they call refuses them")
	}
	return told
}

// String names the laggard, and what is missing.
func (l laggard) String() string {
	return printable(fmt.Sprintf("%s (%s)", l.Name, strings.Join(l.Missing, ", ")))
}

// waiting follows an act until everybody obeys.
type waiting struct {
	admin    ensignv1.AdminServiceClient
	revision uint64
	limit    time.Duration
	progress io.Writer

	last    obedience
	printed string
	at      time.Time
}

// passing says whether a stream that ended so is asked for again: ensignd went away, or
// was a moment faster than us to see that time is up.
func passing(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return false
}

// run answers the last that was seen, and an error that names who does not obey.
// An ensignd that is started again meanwhile is asked again: the act is in the ledger.
func (w *waiting) run(ctx context.Context) (obedience, error) {
	w.last = obedience{Laggards: []laggard{}, Unverifiable: []string{}}
	limited, cancel := context.WithTimeout(ctx, w.limit)
	defer cancel()
	for {
		err := w.watch(limited)
		switch {
		case w.last.Done:
			return w.last, nil
		case ctx.Err() != nil:
			return w.last, ctx.Err()
		case limited.Err() != nil:
			return w.last, w.late()
		case err != nil && !passing(err):
			return w.last, err
		}
		select {
		case <-time.After(askAgainAfter):
		case <-limited.Done():
		}
	}
}

// watch reads one stream to its end.
func (w *waiting) watch(ctx context.Context) error {
	stream, err := w.admin.WatchCutOff(ctx, &ensignv1.WatchCutOffRequest{Revision: w.revision}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w.last = obedienceOf(answer)
		w.tell()
		if w.last.Done {
			return nil
		}
	}
}

// tell prints the progress, if there is any, and not too often.
func (w *waiting) tell() {
	line := w.last.String()
	if line == w.printed || (time.Since(w.at) < obeyedEvery && !w.last.Done) {
		return
	}
	w.printed, w.at = line, time.Now()
	fmt.Fprintln(w.progress, line)
}

// late is the verdict when time is up.
func (w *waiting) late() error {
	if len(w.last.Laggards) == 0 {
		return fmt.Errorf("not known within %s whether everybody obeys: see `ensign proxy status`", w.limit)
	}
	var names []string
	for _, l := range w.last.Laggards {
		names = append(names, l.String())
	}
	return fmt.Errorf("it is in force, but %d of %d have not obeyed within %s, %d connections are open: %s",
		len(names), w.last.Proxies, w.limit, w.last.Open, strings.Join(names, "; "))
}
