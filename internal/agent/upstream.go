package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/sds"
)

// Streams of a replaced SVID end within this time, at random, so that a fleet
// that renewed together does not reconnect together.
const retireWithin = 5 * time.Minute

// upstream connects to the control plane: one connection an SVID.
type upstream struct {
	address  string
	verifier verifier
	token    tokenFile
	live     func() (*sds.SVID, error)
	// watch is the last SVID, live or not, and is closed when another takes its place.
	watch func() (*sds.SVID, <-chan struct{})
	// refused is told of an SVID that the control plane does not take.
	refused func(*sds.SVID)
	logger  *slog.Logger

	mu      sync.Mutex // guards current
	current *session
}

// session is the connection that shows one SVID, or the token if svid is nil.
type session struct {
	svid *sds.SVID
	conn *grpc.ClientConn
	// done is closed when streams of this session are to move to the next one.
	done <-chan struct{}
	end  func()
}

func newSession(svid *sds.SVID, conn *grpc.ClientConn) *session {
	done := make(chan struct{})
	return &session{svid: svid, conn: conn, done: done, end: sync.OnceFunc(func() {
		close(done)
		conn.Close()
	})}
}

// errMoving ends a stream whose SVID was renewed: the next one shows the new SVID.
var errMoving = errors.New("moving to the renewed SVID")

// session is the connection with the live SVID; an error wraps sds.ErrNone if
// there is none.
func (u *upstream) session() (*session, error) {
	svid, err := u.live()
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current != nil && u.current.svid == svid {
		return u.current, nil
	}
	conn, err := u.dial(svid)
	if err != nil {
		return nil, err
	}
	u.retire()
	u.current = newSession(svid, conn)
	return u.current, nil
}

// tokenSession is a connection of its own that shows the token, for whoever has no
// live SVID. Its streams move once there is another SVID than the last.
func (u *upstream) tokenSession(last *sds.SVID) (*session, error) {
	conn, err := u.dial(nil)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, done: u.newer(last), end: sync.OnceFunc(func() { conn.Close() })}, nil
}

// newer is closed once there is another SVID than the last, nil for none.
func (u *upstream) newer(last *sds.SVID) <-chan struct{} {
	svid, changed := u.watch()
	if svid == last {
		return changed
	}
	now := make(chan struct{})
	close(now)
	return now
}

// note looks at why a stream of a session ended. When the control plane refuses
// the caller, a new SVID may help, by the token if need be: this one may be missing
// from a ledger that was restored, or its chain of renewals may be too long.
// True is such a refusal.
func (u *upstream) note(s *session, err error) bool {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied:
		u.refused(s.svid)
		return true
	}
	return false
}

// retire ends the current session some time before its SVID does.
func (u *upstream) retire() {
	if u.current == nil {
		return
	}
	time.AfterFunc(retireAfter(time.Until(u.current.svid.Expires()), rand.Float64()), u.current.end)
}

// retireAfter is how long streams of a replaced SVID stay, which has so much life
// left: less than a quarter of that. r is random in [0,1).
func retireAfter(left time.Duration, r float64) time.Duration {
	return time.Duration(r * float64(min(max(left, 0)/4, retireWithin)))
}

// run opens the session of each new SVID as it comes, which retires the one
// before, and closes the last when ctx ends.
func (u *upstream) run(ctx context.Context) error {
	for {
		svid, changed := u.watch()
		if svid != nil {
			if _, err := u.session(); err != nil {
				u.logger.WarnContext(ctx, "control plane not connected", "error", err)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			u.mu.Lock()
			defer u.mu.Unlock()
			if u.current != nil {
				u.current.end()
			}
			return nil
		}
	}
}

// dial makes a connection that shows the SVID, or the token if svid is nil.
func (u *upstream) dial(svid *sds.SVID) (*grpc.ClientConn, error) {
	proof := u.verifier
	proof.svid = svid
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(freshTLS{proof}),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 500 * time.Millisecond, Multiplier: 1.6, Jitter: 0.3, MaxDelay: 15 * time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
		// A control plane that vanished without a word is noticed within 40 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithReadBufferSize(bufferSize), grpc.WithWriteBufferSize(bufferSize), grpc.WithSharedWriteBuffer(true),
	}
	if svid == nil {
		options = append(options, grpc.WithPerRPCCredentials(bearer{u.token}))
	}
	return grpc.NewClient("dns:///"+u.address, options...)
}
