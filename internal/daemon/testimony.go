package daemon

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ensign-mesh/ensign/ca/report"
)

// testimony is what agents ever said, held in memory as well: the gates of a rotation
// ask for all of it many times. What is not durable is not in it. It implements
// agents.Reports.
type testimony struct {
	store testimonyStore

	mu      sync.RWMutex
	reports map[podName]report.Report
	acks    map[string][]report.Ack // by serial
}

// podName is a pod as agents' reports name it.
type podName struct{ namespace, pod string }

// testimonyStore keeps it; [*report.Store] is one.
type testimonyStore interface {
	Put(ctx context.Context, r report.Report) error
	PutSightings(ctx context.Context, sightings []report.Sighting) error
	All(ctx context.Context) ([]report.Report, error)
	Acks(ctx context.Context) ([]report.Ack, error)
}

func newTestimony(ctx context.Context, store testimonyStore) (*testimony, error) {
	t := &testimony{store: store, reports: map[podName]report.Report{}, acks: map[string][]report.Ack{}}
	reports, err := store.All(ctx)
	if err != nil {
		return nil, err
	}
	acks, err := store.Acks(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range reports {
		t.note(r)
	}
	for _, a := range acks {
		t.acknowledge(a)
	}
	return t, nil
}

// Put implements agents.Reports.
func (t *testimony) Put(ctx context.Context, r report.Report) error {
	if err := t.store.Put(ctx, r); err != nil {
		return err
	}
	t.note(r)
	return nil
}

// PutSightings implements agents.Reports.
func (t *testimony) PutSightings(ctx context.Context, sightings []report.Sighting) error {
	return t.store.PutSightings(ctx, sightings)
}

// note takes a report that is durable. Of two that were stored together the later
// counts; one that is of the future was received by a clock that was wrong.
func (t *testimony) note(r report.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pod := podName{r.Namespace, r.Pod}
	if before, ok := t.reports[pod]; ok && before.ReceivedAt.After(r.ReceivedAt) && !before.ReceivedAt.After(time.Now()) {
		return
	}
	t.reports[pod] = r
	if r.AckedSerial != "" {
		t.acknowledge(report.Ack{Namespace: r.Namespace, Pod: r.Pod, PodUID: r.PodUID, SPIFFEID: r.SPIFFEID, Serial: r.AckedSerial})
	}
}

func (t *testimony) acknowledge(a report.Ack) {
	if !slices.Contains(t.acks[a.Serial], a) {
		t.acks[a.Serial] = append(t.acks[a.Serial], a)
	}
}

// forget drops acknowledgements of serials that nobody needs any more.
func (t *testimony) forget(needed map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.acks, func(serial string, _ []report.Ack) bool { return !needed[serial] })
}

// drop drops the reports of pods that are gone.
func (t *testimony) drop(gone func(namespace, pod string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.reports, func(p podName, _ report.Report) bool { return gone(p.namespace, p.pod) })
}

// acknowledging adds the pods of which an acknowledgement is remembered.
func (t *testimony) acknowledging(pods map[podName]bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, acks := range t.acks {
		for _, a := range acks {
			pods[podName{a.Namespace, a.Pod}] = true
		}
	}
}
