package cli

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// answered is what ensignd says a while after the message before.
type answered struct {
	after time.Duration
	say   *ensignv1.WatchCutOffResponse
	err   error
}

// mesh is an ensignd that answers from a script, over as many streams as it takes.
type mesh struct {
	ensignv1.AdminServiceClient
	script []answered
	asked  []uint64
}

func (m *mesh) WatchCutOff(ctx context.Context, r *ensignv1.WatchCutOffRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[ensignv1.WatchCutOffResponse], error) {
	m.asked = append(m.asked, r.Revision)
	return &watched{mesh: m, ctx: ctx}, nil
}

type watched struct {
	grpc.ClientStream
	mesh *mesh
	ctx  context.Context
}

func (w *watched) Recv() (*ensignv1.WatchCutOffResponse, error) {
	if len(w.mesh.script) == 0 {
		<-w.ctx.Done()
		return nil, status.FromContextError(w.ctx.Err()).Err()
	}
	next := w.mesh.script[0]
	select {
	case <-time.After(next.after):
	case <-w.ctx.Done():
		return nil, status.FromContextError(w.ctx.Err()).Err()
	}
	w.mesh.script = w.mesh.script[1:]
	return next.say, next.err
}

func halfway() *ensignv1.WatchCutOffResponse {
	return &ensignv1.WatchCutOffResponse{
		Revision: 7, Proxies: 3, DenyAcked: 2, CrlAcked: 3, CutAcked: 1, OpenConnections: 2,
		Laggards: []*ensignv1.Laggard{
			{Name: "shop/web-1", Missing: []string{"deny: not acknowledged", "cut: 2 connections still open"}, Connected: true, OpenConnections: 2},
			{Name: "shop/till-1", Missing: []string{"cut: not connected"}},
		},
	}
}

func all() *ensignv1.WatchCutOffResponse {
	return &ensignv1.WatchCutOffResponse{Revision: 7, Proxies: 3, DenyAcked: 3, CrlAcked: 3, CutAcked: 3, Done: true}
}

func TestWaiting(t *testing.T) {
	gone := status.Error(codes.Unavailable, "connection refused")
	for name, c := range map[string]struct {
		script []answered
		took   time.Duration
		err    string // part of it; "" for none
		lines  string
		asked  int
	}{
		"all obey": {
			script: []answered{{0, halfway(), nil}, {time.Second, all(), nil}}, took: time.Second, asked: 1,
			lines: "deny 2/3, crl 3/3, cut 1/3, open connections 2\ndeny 3/3, crl 3/3, cut 3/3, open connections 0\n",
		},
		"progress is not told too often": {
			script: []answered{{0, halfway(), nil}, {time.Millisecond, &ensignv1.WatchCutOffResponse{Proxies: 3, DenyAcked: 3}, nil}, {time.Millisecond, all(), nil}},
			took:   2 * time.Millisecond, asked: 1,
			lines: "deny 2/3, crl 3/3, cut 1/3, open connections 2\ndeny 3/3, crl 3/3, cut 3/3, open connections 0\n",
		},
		"laggards are named": {
			script: []answered{{0, halfway(), nil}}, took: 30 * time.Second, asked: 1,
			err:   "2 of 3 have not obeyed within 30s, 2 connections are open: shop/web-1 (deny: not acknowledged, cut: 2 connections still open); shop/till-1 (cut: not connected)",
			lines: "deny 2/3, crl 3/3, cut 1/3, open connections 2\n",
		},
		"ensignd starts again": {
			script: []answered{{0, halfway(), nil}, {time.Second, nil, gone}, {time.Second, nil, io.EOF}, {0, all(), nil}},
			took:   2*time.Second + 2*askAgainAfter, asked: 3,
			lines: "deny 2/3, crl 3/3, cut 1/3, open connections 2\ndeny 3/3, crl 3/3, cut 3/3, open connections 0\n",
		},
		"silence is no obedience": {took: 30 * time.Second, asked: 1, err: "not known within 30s"},
		"a refusal is final":      {script: []answered{{0, nil, status.Error(codes.PermissionDenied, "no")}}, asked: 1, err: "no"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lines strings.Builder
				m := &mesh{script: c.script}
				w := waiting{admin: m, revision: 7, limit: 30 * time.Second, progress: &lines}
				begun := time.Now()
				last, err := w.run(t.Context())
				if (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) || last.Done != (c.err == "") {
					t.Errorf("%v, done %v; want %q", err, last.Done, c.err)
				}
				if took := time.Since(begun); took != c.took || lines.String() != c.lines || len(m.asked) != c.asked || m.asked[0] != 7 {
					t.Errorf("after %v, asked for %v, told:\n%s", took, m.asked, lines.String())
				}
			})
		})
	}
}

// TestCaveats: success is no more than what was seen.
func TestCaveats(t *testing.T) {
	for name, c := range map[string]struct {
		seen obedience
		want string
	}{
		"all obey":        {obedience{Done: true, Proxies: 2, CRLAcked: 2}, ""},
		"nobody is there": {obedience{Done: true}, "nobody to wait for"},
		"no CRL":          {obedience{Done: true, Proxies: 2}, "CRLs are not in force"},
		"no agent":        {obedience{Done: true, Proxies: 2, CRLAcked: 1, Unverifiable: []string{"shop/old-1"}}, "shop/old-1"},
		"not done anyway": {obedience{Proxies: 2}, ""},
	} {
		got := strings.Join(c.seen.caveats(), "; ")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
