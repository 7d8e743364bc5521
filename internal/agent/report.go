package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds"
)

const (
	reportEvery = time.Minute
	// Without ReportStored by then, the report is sent again.
	storedWithin = 10 * time.Second
	// The two secrets are acknowledged a moment apart: one report for both.
	settleFor = 100 * time.Millisecond
	// Between streams to the control plane: grows to the cap, half of it random.
	reconnectFirst, reconnectCap = time.Second, 30 * time.Second
)

// reporter tells the control plane what Envoy has acknowledged and shows.
type reporter struct {
	upstream *upstream
	secrets  func() (sds.Acknowledged, <-chan struct{})
	// fingerprintOf is the fingerprint of an SVID of ours by its serial; "" if it is none.
	fingerprintOf func(serial string) string
	admin         *adminPort
	nodeID        string
	envoy         bool
	metrics       *metrics
	logger        *slog.Logger
	sequence      uint64
}

// run keeps one stream open until ctx ends.
func (r *reporter) run(ctx context.Context) error {
	pause := reconnectFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := r.connect(ctx)
		if ctx.Err() != nil {
			break
		}
		level := slog.LevelInfo
		if errors.Is(err, sds.ErrNone) {
			level = slog.LevelDebug
		}
		r.logger.Log(ctx, level, "report stream ended", "error", err)
		if errors.Is(err, errMoving) {
			pause = reconnectFirst
			continue
		}
		if pause = min(pause*2, reconnectCap); time.Since(began) > reconnectCap {
			pause = reconnectFirst
		}
		select {
		case <-time.After(time.Duration(float64(pause) * (0.5 + 0.5*rand.Float64()))):
		case <-ctx.Done():
		}
	}
	return nil
}

// uplink is one stream. Reports and answers are written by different goroutines,
// and gRPC takes one writer at a time.
type uplink struct {
	stream ensignv1.AgentService_ConnectClient
	mu     sync.Mutex // held while a message is written
}

func (u *uplink) send(message *ensignv1.ConnectRequest) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stream.Send(message)
}

func (r *reporter) connect(ctx context.Context) error {
	session, err := r.upstream.session()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := ensignv1.NewAgentServiceClient(session.conn).Connect(ctx)
	if err != nil {
		return fmt.Errorf("opening report stream: %w", err)
	}
	link := &uplink{stream: stream}
	stored, failed := make(chan uint64), make(chan error, 1)
	go func() { failed <- r.receive(ctx, link, stored) }()
	err = r.report(ctx, link, stored, failed, session.done)
	r.upstream.note(session, err)
	return err
}

// report sends a report now, whenever the acknowledged state changes, again while
// it is not stored, sooner while Envoy still shows another certificate than the
// one it acknowledged, and once a minute.
func (r *reporter) report(ctx context.Context, link *uplink, stored <-chan uint64, failed <-chan error, done <-chan struct{}) error {
	sooner := time.Second
	for {
		acknowledged, changed := r.secrets()
		report := r.compose(ctx, acknowledged)
		if err := link.send(&ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Report{Report: report}}); err != nil {
			// The reason is what the stream's end says.
			return <-failed
		}
		r.metrics.reports.WithLabelValues("sent").Inc()
		next := time.Duration(float64(reportEvery) * (0.9 + 0.2*rand.Float64()))
		if r.envoy && !shows(report, acknowledged) {
			next, sooner = min(next, sooner), sooner*2
		} else {
			sooner = time.Second
		}
		due, unstored := time.NewTimer(next), time.NewTimer(storedWithin)
		err := wait(ctx, report.Sequence, due, unstored, stored, changed, failed, done)
		due.Stop()
		unstored.Stop()
		if err != nil {
			return err
		}
	}
}

// wait returns nil when the next report is due.
func wait(ctx context.Context, sequence uint64, due, unstored *time.Timer, stored <-chan uint64, changed <-chan struct{}, failed <-chan error, done <-chan struct{}) error {
	for {
		select {
		case <-due.C:
			return nil
		case <-unstored.C:
			return nil
		case n := <-stored:
			if n >= sequence {
				unstored.Stop()
			}
		case <-changed:
			due.Reset(settleFor)
			changed = nil
		case err := <-failed:
			return err
		case <-done:
			return errMoving
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// compose is a report of this moment. What cannot be read from Envoy is left out:
// the control plane must take silence for doubt.
func (r *reporter) compose(ctx context.Context, acknowledged sds.Acknowledged) *ensignv1.Report {
	r.sequence++
	report := &ensignv1.Report{Sequence: r.sequence, NodeId: r.nodeID, SecretError: acknowledged.Error}
	if acknowledged.Serial != "" || acknowledged.Bundle != "" {
		report.Acknowledged = &ensignv1.SecretState{
			Serial: acknowledged.Serial, Fingerprint: acknowledged.Fingerprint, Bundle: acknowledged.Bundle,
			AcknowledgedAt: timestamppb.New(acknowledged.At),
		}
	}
	if r.envoy {
		report.EnvoyVersion, report.ServedFingerprints = r.look(ctx)
	}
	report.Clock = timestamppb.Now()
	return report
}

func (r *reporter) look(ctx context.Context) (version string, served []string) {
	version, err := r.admin.version(ctx)
	if err != nil {
		r.logger.WarnContext(ctx, "envoy's version unknown", "error", err)
		return "", nil
	}
	serials, err := r.admin.serials(ctx)
	if err != nil {
		r.logger.WarnContext(ctx, "envoy's certificates unknown", "error", err)
		return version, nil
	}
	return version, r.fingerprints(serials)
}

// fingerprints turns the serials that Envoy shows into fingerprints. Envoy shows
// no more than the serial; it names a certificate of ours for certain, since
// serials are 128 random bits. One that is not ours, of an earlier agent or of a
// gateway, is reported as "serial:HEX": shown, and equal to no fingerprint.
func (r *reporter) fingerprints(serials []string) []string {
	var served []string
	for _, serial := range serials {
		print := r.fingerprintOf(serial)
		if print == "" {
			print = "serial:" + serial
		}
		served = append(served, print)
	}
	slices.Sort(served)
	return served
}

// shows says whether Envoy shows what it acknowledged, and nothing else.
func shows(report *ensignv1.Report, acknowledged sds.Acknowledged) bool {
	return acknowledged.Fingerprint != "" && slices.Equal(report.ServedFingerprints, []string{acknowledged.Fingerprint})
}

// receive takes what the control plane says until the stream ends.
func (r *reporter) receive(ctx context.Context, link *uplink, stored chan<- uint64) error {
	desk := newDesk(r.admin, r.envoy, r.metrics)
	for {
		message, err := link.stream.Recv()
		if err != nil {
			return err
		}
		switch message := message.GetMessage().(type) {
		case *ensignv1.ConnectResponse_Stored:
			r.metrics.reports.WithLabelValues("stored").Inc()
			select {
			case stored <- message.Stored.GetSequence():
			case <-ctx.Done():
				return ctx.Err()
			}
		case *ensignv1.ConnectResponse_Query:
			desk.answer(ctx, message.Query, link.send)
		}
	}
}
