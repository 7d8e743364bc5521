package report

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

// acked is a report of one pod that has acknowledged a serial at a time.
func acked(pod, uid, serial string, at time.Time) Report {
	return Report{SPIFFEID: "spiffe://cluster.local/ns/shop/sa/web", Namespace: "shop", Pod: pod, PodUID: uid, AckedSerial: serial,
		AckedAt: at, AgentClock: at, ReceivedAt: at}
}

func ackOf(pod, uid, serial string) Ack {
	return Ack{Namespace: "shop", Pod: pod, PodUID: uid, SPIFFEID: "spiffe://cluster.local/ns/shop/sa/web", Serial: serial}
}

func TestWhichPodAcknowledgedWhatIsKept(t *testing.T) {
	c := Config{Path: filepath.Join(t.TempDir(), "reports.db")}
	s := open(t, c)
	now := time.Now().Add(-time.Hour)
	put(t, s,
		acked("web-1", "u1", "", now), acked("web-1", "u1", "1f", now), acked("web-1", "u1", "1f", now.Add(time.Minute)),
		acked("web-1", "u1", "2f", now.Add(2*time.Minute)), acked("web-2", "u2", "2f", now),
		acked("web-3", "old", "3f", now), acked("web-3", "new", "3f", now), // another pod of the name
		acked("web-4", "u4", "4f", now.Add(-8*24*time.Hour)), // its SVID has ended
	)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, c).Acks(t.Context())
	want := []Ack{ackOf("web-1", "u1", "1f"), ackOf("web-1", "u1", "2f"), ackOf("web-2", "u2", "2f"), ackOf("web-3", "new", "3f")}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v\nwant %v", got, err, want)
	}
}

// TestAcksOfOnePodAreBounded: an agent that claims serials without end pushes out its own.
func TestAcksOfOnePodAreBounded(t *testing.T) {
	s := openFile(t)
	now := time.Now().Add(-time.Hour)
	put(t, s, acked("other", "u", "1", now))
	if err := s.group.Do(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		for n := range keptAcks + 10 {
			r := acked("greedy", "u", fmt.Sprintf("%x", n), now.Add(time.Duration(n)*time.Second))
			if n >= keptAcks {
				if err := putAck(ctx, tx, r); err != nil {
					return err
				}
				continue
			}
			// The many before at less cost: each putAck looks at them all.
			data, err := json.Marshal(ackOf(r.Pod, r.PodUID, r.AckedSerial))
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO acks (namespace, pod, serial, at, data) VALUES (?, ?, ?, ?, ?)`,
				r.Namespace, r.Pod, r.AckedSerial, r.ReceivedAt.Unix(), string(data)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Acks(t.Context())
	if err != nil || len(got) != keptAcks+1 {
		t.Fatalf("%d acks, %v; want %d", len(got), err, keptAcks+1)
	}
	if slices.Contains(got, ackOf("greedy", "u", "9")) || !slices.Contains(got, ackOf("greedy", "u", "a")) || !slices.Contains(got, ackOf("other", "u", "1")) {
		t.Error("not the oldest of the greedy one were left out")
	}
}
