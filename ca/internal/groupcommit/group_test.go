package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca/internal/groupcommit"
)

// disk is a store whose commits take a second and can be made to fail.
type disk struct {
	mu      sync.Mutex
	batches [][]int
	fail    error
	panics  bool
}

func (d *disk) commit(batch []*groupcommit.Request[int]) error {
	time.Sleep(time.Second)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.panics {
		panic("a bug")
	}
	if d.fail != nil {
		return d.fail
	}
	var values []int
	for _, r := range batch {
		if r.Value < 0 {
			r.Refuse(errNegative)
			continue
		}
		values = append(values, r.Value)
	}
	d.batches = append(d.batches, values)
	return nil
}

func (d *disk) set(fail error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fail
}

func (d *disk) probe() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fail
}

var (
	errNegative = errors.New("negative")
	errFull     = errors.New("disk full")
)

func start(t *testing.T, maxBatch int) (*disk, *groupcommit.Group[int]) {
	d := &disk{}
	g := groupcommit.Start(groupcommit.Config[int]{Commit: d.commit, Probe: d.probe, Retry: 10 * time.Second, MaxBatch: maxBatch})
	t.Cleanup(g.Close)
	return d, g
}

// doAll calls Do for each value at once and returns the answers.
func doAll(ctx context.Context, g *groupcommit.Group[int], values ...int) []error {
	errs := make([]error, len(values))
	var wg sync.WaitGroup
	for i, v := range values {
		wg.Go(func() { errs[i] = g.Do(ctx, v) })
	}
	wg.Wait()
	return errs
}

func TestCallersShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := start(t, 100)
		values := make([]int, 50)
		if err := errors.Join(doAll(t.Context(), g, values...)...); err != nil {
			t.Fatal(err)
		}
		if len(d.batches) > 2 {
			t.Errorf("%d commits for 50 concurrent callers", len(d.batches))
		}
	})
}

func TestBatchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := start(t, 8)
		if err := errors.Join(doAll(t.Context(), g, make([]int, 40)...)...); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, b := range d.batches {
			total += len(b)
			if len(b) > 8 {
				t.Errorf("a batch of %d", len(b))
			}
		}
		if total != 40 {
			t.Errorf("%d values were written", total)
		}
	})
}

func TestRefusalIsForOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, g := start(t, 100)
		errs := doAll(t.Context(), g, 1, -1, 2)
		if errs[0] != nil || !errors.Is(errs[1], errNegative) || errs[2] != nil {
			t.Errorf("answers %v", errs)
		}
		if err := g.Healthy(); err != nil {
			t.Errorf("a refusal made the group unhealthy: %v", err)
		}
	})
}

func TestFailureIsForAllAndHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := start(t, 100)
		d.set(errFull)
		for i, err := range doAll(t.Context(), g, 1, 2, 3) {
			if !errors.Is(err, errFull) {
				t.Errorf("caller %d got %v", i, err)
			}
		}
		if err := g.Healthy(); !errors.Is(err, errFull) {
			t.Errorf("Healthy() = %v", err)
		}
		d.set(nil)
		time.Sleep(11 * time.Second)
		if err := g.Healthy(); err != nil {
			t.Errorf("the probe did not heal it: %v", err)
		}
		d.set(errFull)
		_ = g.Do(t.Context(), 4)
		d.set(nil)
		if err := g.Do(t.Context(), 5); err != nil || g.Healthy() != nil {
			t.Errorf("a commit did not heal it: %v, %v", err, g.Healthy())
		}
	})
}

func TestPanicIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := start(t, 100)
		d.panics = true
		if err := g.Do(t.Context(), 1); err == nil || g.Healthy() == nil {
			t.Errorf("a panic answered %v, healthy %v", err, g.Healthy())
		}
	})
}

// TestCancelLeavesNoDoubt cancels callers at every moment of two commits: each
// value is written exactly when its caller got no error.
func TestCancelLeavesNoDoubt(t *testing.T) {
	for after := range 25 {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, g := start(t, 3)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(after)*100*time.Millisecond)
				defer cancel()
				values := []int{1, 2, 3, 4, 5, 6, 7}
				errs := doAll(ctx, g, values...)
				g.Close()
				written := map[int]bool{}
				for _, b := range d.batches {
					for _, v := range b {
						written[v] = true
					}
				}
				for i, v := range values {
					if written[v] != (errs[i] == nil) {
						t.Errorf("value %d: written %v, answer %v", v, written[v], errs[i])
					}
				}
			})
		})
	}
}

func TestCloseEndsTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := start(t, 1)
		answers := make(chan []error)
		go func() { answers <- doAll(t.Context(), g, 1, 2, 3) }()
		time.Sleep(time.Millisecond)
		g.Close()
		written := len(d.batches)
		for _, err := range <-answers {
			switch {
			case err == nil:
				written--
			case !errors.Is(err, groupcommit.ErrClosed):
				t.Errorf("answer %v", err)
			}
		}
		if written != 0 {
			t.Errorf("%d batches without an answer", written)
		}
		if err := g.Do(t.Context(), 4); !errors.Is(err, groupcommit.ErrClosed) {
			t.Errorf("Do after Close: %v", err)
		}
		g.Close()
	})
}
