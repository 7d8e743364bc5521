package report

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// Ack says that the Envoy of a pod acknowledged an SVID, by its agent's word.
type Ack struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	PodUID    string `json:"pod_uid,omitempty"`
	SPIFFEID  string `json:"spiffe_id"`
	// Serial is lower-case hex.
	Serial string `json:"serial"`
}

const (
	// keptAcks bounds what is kept of one pod: the newest. A hostile agent pushes out
	// its own only. One that renews each minute for a day leaves 1,440 behind.
	keptAcks = 2000
	// ackLife is the longest life of an SVID.
	ackLife = 7 * 24 * time.Hour
)

// putAck keeps what a report acknowledges. A later report of the same is nothing new,
// but for a pod that has taken the place of another.
func putAck(ctx context.Context, tx *sql.Tx, r Report) error {
	if r.AckedSerial == "" {
		return nil
	}
	data, err := json.Marshal(Ack{Namespace: r.Namespace, Pod: r.Pod, PodUID: r.PodUID, SPIFFEID: r.SPIFFEID, Serial: r.AckedSerial})
	if err != nil {
		return fmt.Errorf("encoding what %s/%s acknowledged: %w", r.Namespace, r.Pod, err)
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO acks (namespace, pod, serial, at, data) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET at = excluded.at, data = excluded.data WHERE data <> excluded.data`,
		r.Namespace, r.Pod, r.AckedSerial, r.ReceivedAt.Unix(), string(data))
	if err != nil {
		return err
	}
	if added, err := result.RowsAffected(); err != nil || added == 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM acks WHERE namespace = ?1 AND pod = ?2 AND (at < ?3 OR rowid IN (
		SELECT rowid FROM acks WHERE namespace = ?1 AND pod = ?2 ORDER BY at DESC LIMIT -1 OFFSET ?4))`,
		r.Namespace, r.Pod, r.ReceivedAt.Add(-ackLife).Unix(), keptAcks)
	return err
}

// Acks are those of the last seven days, by pod and age: no SVID lives longer.
func (s *Store) Acks(ctx context.Context) ([]Ack, error) {
	return query[Ack](ctx, s.db.Reader, `SELECT data FROM acks WHERE at >= ? ORDER BY namespace, pod, at`, time.Now().Add(-ackLife).Unix())
}
