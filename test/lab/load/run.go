package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Report is what a run came to. Sent is OK plus all Statuses but 200 plus all
// Errors.
type Report struct {
	Sent int `json:"sent"`
	OK   int `json:"ok"`
	// Failed is Sent less OK.
	Failed   int            `json:"failed"`
	Statuses map[string]int `json:"statuses"`
	Errors   map[string]int `json:"errors,omitempty"`
	Names    map[string]int `json:"names,omitempty"`
	// Samples is the first body of each status but 200, cut short.
	Samples     map[string]string `json:"samples,omitempty"`
	Connections int               `json:"connections"`
	// Began is when the first request could be sent.
	Began time.Time `json:"began"`
	// Slices are the pieces that Plan.Slice asks for, one after another from Began on.
	Slices []Slice `json:"slices,omitempty"`
	// Failures are the first 100 requests that did not get 200, in order of time.
	Failures []Failure     `json:"failures,omitempty"`
	Seconds  float64       `json:"seconds"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	Max      time.Duration `json:"max_ns"`
}

// Slice is a piece of a run: the requests that ended in it.
type Slice struct {
	Sent   int           `json:"sent"`
	Failed int           `json:"failed"`
	Max    time.Duration `json:"max_ns"`
}

// Failure is one request that did not get 200.
type Failure struct {
	// At is its end, since Report.Began.
	At  time.Duration `json:"at_ns"`
	Why string        `json:"why"`
}

// maxFailures is how many are kept one by one.
const maxFailures = 100

// Run carries out a plan. A request that ctx's end cuts off is not counted. An
// error says that the plan can't be run, not how requests fared.
func Run(ctx context.Context, p Plan) (Report, error) {
	t, err := p.target()
	if err != nil {
		return Report{}, err
	}
	if t.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.For)
		defer cancel()
	}
	start := time.Now()
	tickets := make(chan struct{})
	go t.issue(ctx, tickets)
	tally := tally{slice: t.Slice, report: Report{Began: start, Statuses: map[string]int{}, Errors: map[string]int{}, Names: map[string]int{}, Samples: map[string]string{}}}
	var workers sync.WaitGroup
	for range t.Workers {
		workers.Go(func() { t.work(tickets, &tally) })
	}
	workers.Wait()
	return tally.done(time.Since(start)), nil
}

// issue hands out the right to send, at the plan's rate.
func (t target) issue(ctx context.Context, tickets chan<- struct{}) {
	defer close(tickets)
	var tick <-chan time.Time
	if t.Rate > 0 {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / t.Rate))
		defer ticker.Stop()
		tick = ticker.C
	}
	for sent := 0; t.Count <= 0 || sent < t.Count; sent++ {
		if tick != nil {
			select {
			case <-tick:
			case <-ctx.Done():
				return
			}
		}
		select {
		case tickets <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

func (t target) work(tickets <-chan struct{}, tally *tally) {
	client := &Client{target: t}
	defer client.Close()
	for range tickets {
		// Not the run's context: a request that was begun is finished, and counted.
		answer, err := client.Do(context.Background())
		tally.add(answer, err, t.Name)
	}
	tally.opened(client.Opened)
}

type tally struct {
	slice  time.Duration
	mu     sync.Mutex
	report Report
	took   []time.Duration
}

func (t *tally) add(a Answer, err error, name func([]byte) string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Sent++
	t.place(a, err)
	if err != nil {
		t.report.Errors[reason(err)]++
		return
	}
	t.took = append(t.took, a.Took)
	status := strconv.Itoa(a.Status)
	t.report.Statuses[status]++
	if a.Status != 200 && t.report.Samples[status] == "" {
		t.report.Samples[status] = string(a.Body[:min(len(a.Body), 300)])
	}
	if a.Status == 200 {
		t.report.OK++
		if name != nil {
			t.report.Names[name(a.Body)]++
		}
	}
}

// place puts a request where it belongs in time; mu is held.
func (t *tally) place(a Answer, err error) {
	at := time.Since(t.report.Began)
	failed := err != nil || a.Status != 200
	if failed && len(t.report.Failures) < maxFailures {
		why := "status " + strconv.Itoa(a.Status)
		if err != nil {
			why = reason(err)
		}
		t.report.Failures = append(t.report.Failures, Failure{At: at, Why: why})
	}
	if t.slice <= 0 {
		return
	}
	n := int(at / t.slice)
	for len(t.report.Slices) <= n {
		t.report.Slices = append(t.report.Slices, Slice{})
	}
	slice := &t.report.Slices[n]
	slice.Sent++
	slice.Max = max(slice.Max, a.Took)
	if failed {
		slice.Failed++
	}
}

func (t *tally) opened(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Connections += n
}

func (t *tally) done(took time.Duration) Report {
	r := t.report
	r.Failed = r.Sent - r.OK
	r.Seconds = took.Seconds()
	if len(t.took) > 0 {
		slices.Sort(t.took)
		r.P50 = t.took[len(t.took)/2]
		r.P99 = t.took[len(t.took)*99/100]
		r.Max = t.took[len(t.took)-1]
	}
	return r
}

// reason groups errors that differ in addresses only.
func reason(err error) string {
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	default:
		return err.Error()
	}
}

// String is the report in one line.
func (r Report) String() string {
	line := fmt.Sprintf("%d sent, %d ok, %d failed, %d connections, p50 %s, p99 %s, max %s, statuses %v, errors %v",
		r.Sent, r.OK, r.Failed, r.Connections, r.P50.Round(10*time.Microsecond), r.P99.Round(10*time.Microsecond),
		r.Max.Round(10*time.Microsecond), r.Statuses, r.Errors)
	if len(r.Samples) > 0 {
		line += fmt.Sprintf(", bodies %q", r.Samples)
	}
	return line
}
