package report

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Sighting is a peer whose certificate an Envoy met.
type Sighting struct {
	// Namespace and Pod of the Envoy that met it.
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	// Fingerprint (SHA-256) and Serial are lower-case hex, "" where Envoy does not tell them.
	Fingerprint   string    `json:"fingerprint,omitempty"`
	Serial        string    `json:"serial,omitempty"`
	SPIFFEID      string    `json:"spiffe_id"`
	IssuerSubject string    `json:"issuer_subject"`
	NotBefore     time.Time `json:"not_before"`
	NotAfter      time.Time `json:"not_after"`
	SeenAt        time.Time `json:"seen_at"`
	// Inbound: the peer was a client; else it was a server.
	Inbound bool `json:"inbound"`
}

const (
	// maxSightings bounds one call of PutSightings, keptSightings what is kept of
	// one pod: the newest. A hostile agent pushes out its own only.
	maxSightings  = 256
	keptSightings = 1000
	// sightingLife is how long a sighting counts: SVIDs live a day at most by default.
	sightingLife = 48 * time.Hour
)

// PutSightings keeps what the Envoy of one pod met, in place of earlier sightings
// of the same peers, and returns when it is durable. All of them must name the same
// pod. Errors wrap [ErrInvalid] when no agent writes such a thing.
func (s *Store) PutSightings(ctx context.Context, sightings []Sighting) error {
	if len(sightings) == 0 {
		return nil
	}
	namespace, pod := sightings[0].Namespace, sightings[0].Pod
	if len(sightings) > maxSightings {
		return fmt.Errorf("%w: %d sightings at once, at most %d", ErrInvalid, len(sightings), maxSightings)
	}
	rows := make([][3]any, len(sightings))
	for i, one := range sightings {
		if one.Namespace != namespace || one.Pod != pod {
			return fmt.Errorf("%w: sightings of two pods in one call", ErrInvalid)
		}
		if err := one.check(); err != nil {
			return err
		}
		data, err := json.Marshal(one)
		if err != nil {
			return fmt.Errorf("encoding a sighting of %s/%s: %w", namespace, pod, err)
		}
		rows[i] = [3]any{one.peer(), one.SeenAt.Unix(), string(data)}
	}
	err := s.group.Do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, row := range rows {
			if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO sightings (namespace, pod, peer, seen, data) VALUES (?, ?, ?, ?, ?)`,
				namespace, pod, row[0], row[1], row[2]); err != nil {
				return err
			}
		}
		return pruneSightings(ctx, tx, namespace, pod)
	})
	if err != nil {
		return fmt.Errorf("storing sightings of %s/%s: %w", namespace, pod, err)
	}
	return nil
}

func pruneSightings(ctx context.Context, tx *sql.Tx, namespace, pod string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM sightings WHERE namespace = ?1 AND pod = ?2 AND (seen < ?3 OR seen <= coalesce(
		(SELECT seen FROM sightings WHERE namespace = ?1 AND pod = ?2 ORDER BY seen DESC LIMIT 1 OFFSET ?4), -1))`,
		namespace, pod, time.Now().Add(-sightingLife).Unix(), keptSightings)
	return err
}

// Sightings are those of the last 48 hours, of all pods, by pod and age.
func (s *Store) Sightings(ctx context.Context) ([]Sighting, error) {
	return query[Sighting](ctx, s.db.Reader, `SELECT data FROM sightings WHERE seen >= ? ORDER BY namespace, pod, seen`,
		time.Now().Add(-sightingLife).Unix())
}

// peer tells one peer of an Envoy from another, as well as Envoy's log does.
func (s Sighting) peer() string {
	return fmt.Sprintf("%t %s %s %s %d %d", s.Inbound, s.Fingerprint, s.SPIFFEID, s.IssuerSubject, s.NotBefore.Unix(), s.NotAfter.Unix())
}

// check refuses what no agent writes.
func (s Sighting) check() error {
	if s.Namespace == "" || s.Pod == "" {
		return fmt.Errorf("%w: a sighting names no pod", ErrInvalid)
	}
	for name, text := range map[string]string{"namespace": s.Namespace, "pod": s.Pod, "spiffe_id": s.SPIFFEID, "issuer_subject": s.IssuerSubject} {
		if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return fmt.Errorf("%w: %s of a sighting must be text of at most %d bytes, it has %d", ErrInvalid, name, maxText, len(text))
		}
	}
	for _, text := range []string{s.Fingerprint, s.Serial} {
		if len(text) > maxHex || strings.Trim(text, hexDigits) != "" {
			return fmt.Errorf("%w: %.70q is not lower-case hex of at most %d digits", ErrInvalid, text, maxHex)
		}
	}
	for name, at := range map[string]time.Time{"not_before": s.NotBefore, "not_after": s.NotAfter, "seen_at": s.SeenAt} {
		if year := at.Year(); year < 1 || year > 9999 {
			return fmt.Errorf("%w: %s of a sighting is in the year %d", ErrInvalid, name, year)
		}
	}
	return nil
}
