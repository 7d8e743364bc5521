package agent

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// word is one on the roots of authorities, of which the last is to be lived under.
func word(sequence uint64, of ...*sdstest.Authority) *ensignv1.Trust {
	trust := &ensignv1.Trust{Sequence: sequence, RenewWithin: durationpb.New(0)}
	for _, authority := range of {
		sum := sha256.Sum256(authority.Root.Raw)
		trust.Roots, trust.Root = append(trust.Roots, authority.Root.Raw), hex.EncodeToString(sum[:])
	}
	return trust
}

func hashOf(of ...*sdstest.Authority) string {
	var roots []*x509.Certificate
	for _, authority := range of {
		roots = append(roots, authority.Root)
	}
	return sds.BundleHash(roots)
}

// signs has the control plane sign SVIDs with an authority from now on, and show
// itself by it from the next serve on; all of them are trusted.
func (c *controlPlane) signs(with *sdstest.Authority, trusted ...*sdstest.Authority) {
	next := *with
	for _, authority := range trusted {
		if authority.Root != with.Root {
			next.Also = append(next.Also, authority.Root)
		}
	}
	c.set(func() { c.authority = &next })
}

// tells pushes a word to the stream that is open, and to those that come.
func (c *controlPlane) tells(trust *ensignv1.Trust) {
	c.set(func() { c.trust = trust })
	c.says <- trustOf(trust)
}

// keptHash is the bundle that an agent would start with.
func keptHash(t testing.TB, config Config) string {
	t.Helper()
	kept, err := rootsFile(filepath.Join(config.RunDir, "roots")).load()
	if err != nil {
		t.Fatal(err)
	}
	if kept == nil {
		return ""
	}
	return sds.BundleHash(kept.Roots)
}

// TestAnAgentThatWasAwayComesBack: the mesh's root was replaced twice since this agent
// ran. It comes back over the links, follows, and keeps what it followed: the next one
// needs no links, and does not trust the root of its bundle file any more.
func TestAnAgentThatWasAwayComesBack(t *testing.T) {
	d := newDynasty(t, 3)
	first, last := d.roots[0], d.last()
	control := newControlPlaneOf(t, last, append(d.links, d.roots[1].Root, last.Root)...)
	control.signs(last, d.roots[1])
	control.trust = word(40, d.roots[1], last)
	config := control.config(t)
	write(t, config.TrustBundle, sdstest.PEM(first.Root))
	agent := startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	eventually(t, "the roots are kept", func() bool { return keptHash(t, config) == hashOf(d.roots[1], last) })
	control.tells(word(41, last))
	eventually(t, "the last root alone is kept", func() bool { return keptHash(t, config) == hashOf(last) })
	agent.wait(t)

	// The first root is somebody else's now.
	control.server.Stop()
	control.signs(first)
	control.behind = nil
	control.serve(control.address)
	before := len(control.proofs)
	var logs logBuffer
	config.Logger = loggerTo(t, &logs)
	agent = startAgent(t, config)
	eventually(t, "the agent says what to do", func() bool {
		return strings.Contains(logs.String(), config.TrustBundle) && strings.Contains(logs.String(), "Ensign root 0")
	})
	control.set(func() {
		if len(control.proofs) != before {
			t.Error("a retired root's server was shown a proof")
		}
	})
	agent.wait(t)
	control.server.Stop()
	control.signs(last)
	control.serve(control.address)
	startAgent(t, config)
	eventually(t, "the agent is ready without links", func() bool { return ready(config) })
}

// TestOnlyANewBundleFileHelps where no link leads.
func TestOnlyANewBundleFileHelps(t *testing.T) {
	d := newDynasty(t, 2)
	control := newControlPlaneOf(t, d.roots[1], d.roots[1].Root, d.roots[0].IssuerLink(t, d.roots[1]))
	config := control.config(t)
	write(t, config.TrustBundle, sdstest.PEM(d.roots[0].Root))
	var logs logBuffer
	config.Logger = loggerTo(t, &logs)
	startAgent(t, config)
	eventually(t, "the agent says what to do", func() bool {
		return strings.Contains(logs.String(), "copy bundle.pem of ensignd's data folder to "+config.TrustBundle)
	})
	control.set(func() {
		if len(control.proofs) > 0 || ready(config) {
			t.Error("a stranger was believed")
		}
	})
	write(t, config.TrustBundle, sdstest.PEM(d.roots[1].Root))
	eventually(t, "the agent is ready", func() bool { return ready(config) })
}

// TestRootsThatAreNotTakenAreReported, with the reason; so is a renewal that fails.
func TestRootsThatAreNotTakenAreReported(t *testing.T) {
	control := newControlPlane(t)
	config := control.config(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	control.says <- trustOf(word(3, sdstest.New(t)))
	next(t, "report of foreign roots", control.reports, func(r *ensignv1.Report) bool {
		return strings.Contains(r.GetTrustError(), "share nothing") && r.GetRenewalError() == ""
	})
	control.says <- trustOf(word(4, control.authority))
	next(t, "report that all is well", control.reports, func(r *ensignv1.Report) bool { return r.GetTrustError() == "" })
	control.set(func() { control.refuse = errForgotten })
	control.says <- &ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_Renew{Renew: &ensignv1.Renew{}}}
	next(t, "report of the renewal", control.reports, func(r *ensignv1.Report) bool {
		return strings.Contains(r.GetRenewalError(), "not in the ledger") && r.GetTrustError() == ""
	})
	control.set(func() { control.refuse = nil })
	next(t, "report of no trouble", control.reports, func(r *ensignv1.Report) bool { return r.GetRenewalError() == "" })
}

// A word that comes while the last is followed waits; of several the newest is
// followed, as the first of a stream if one of them was.
func TestTheNewestWordIsFollowed(t *testing.T) {
	b := &slowBeliever{followed: make(chan sds.Trust), resume: make(chan struct{})}
	tr := newTrustee(b)
	go tr.run(t.Context())
	tr.take(&ensignv1.Trust{Sequence: 1}, false)
	<-b.followed
	tr.take(&ensignv1.Trust{Sequence: 5}, true)
	tr.take(&ensignv1.Trust{Sequence: 6, RenewWithin: durationpb.New(time.Minute)}, false)
	b.resume <- struct{}{}
	if got := <-b.followed; got.Sequence != 6 || !got.First || got.RenewWithin != time.Minute {
		t.Errorf("%+v", got)
	}
	b.resume <- struct{}{}
}

// However closely words follow one another, the last is followed last, none twice.
func TestWordsThatComeTogether(t *testing.T) {
	b := &slowBeliever{followed: make(chan sds.Trust, 10_000), resume: make(chan struct{})}
	close(b.resume)
	tr := newTrustee(b)
	go tr.run(t.Context())
	for n := range uint64(5000) {
		tr.take(&ensignv1.Trust{Sequence: n + 1}, false)
	}
	var last uint64
	for last != 5000 {
		got := next(t, "word", b.followed, func(sds.Trust) bool { return true })
		if got.Sequence <= last {
			t.Fatalf("%d after %d", got.Sequence, last)
		}
		last = got.Sequence
	}
}

type slowBeliever struct {
	followed chan sds.Trust
	resume   chan struct{}
}

func (b *slowBeliever) Follow(trust sds.Trust) error {
	b.followed <- trust
	<-b.resume
	return nil
}

func (b *slowBeliever) Renew() {}
func (b *slowBeliever) Keep()  {}

// TestASpoiltRootsFileLeavesTheBundleFile, and is said.
func TestASpoiltRootsFileLeavesTheBundleFile(t *testing.T) {
	control := newControlPlane(t)
	config := control.config(t)
	var logs logBuffer
	config.Logger = loggerTo(t, &logs)
	if err := os.MkdirAll(config.RunDir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(config.RunDir, "roots"), "rubbish")
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	if !strings.Contains(logs.String(), "not whole") || keptHash(t, config) != hashOf(control.authority) {
		t.Error("it was not said, or nothing was kept in its place")
	}
}
