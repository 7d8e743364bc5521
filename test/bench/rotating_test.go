package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/ca"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// rotatingFleet is simulated workloads of one ensignd. It holds the control plane to
// its gates: it knows of all of them what they have reported when one is told more.
type rotatingFleet struct {
	ensignd   *ensignd
	first     ca.Bundle
	workloads []*workload
	// door lets so many open a stream at a time: what is measured is not a stampede.
	door chan struct{}

	mu       sync.Mutex
	reported map[string]word
	sequence uint64
	// When each SVID was issued since the last rest.
	issues []time.Time
	// What must not happen: a gate passed early, a renewal refused.
	faults map[string]int
	shed   bool
	// Streams that ended by themselves, or did not open: a machine with too much to do.
	brokenStreams int
}

// word is what one workload has reported.
type word struct{ bundle, root, serial string }

// podsPerMachine share an address of the loopback network: ensignd bounds the
// connections from one.
const podsPerMachine = 100

// shape is what a fleet is made of.
type shape struct {
	name string
	// pods share so many accounts; of so many, Envoy takes its time.
	pods, accounts, slow int
	args                 []string // of ensignd
	// shed: ensignd may tell some that it is busy, and to come again.
	shed bool
}

// startRotatingFleet gives every pod an SVID by a token, and a stream by that.
func startRotatingFleet(t testing.TB, s shape) *rotatingFleet {
	t.Helper()
	manifests := t.TempDir()
	f := &rotatingFleet{shed: s.shed, door: make(chan struct{}, 64), reported: map[string]word{}, faults: map[string]int{}}
	for n := range s.pods {
		address := fmt.Sprintf("10.%d.%d.%d", 1+n>>16, n>>8&255, n&255)
		pod := fmt.Sprintf("pod-%d", n)
		f.workloads = append(f.workloads, &workload{
			fleet: f, pod: pod, account: fmt.Sprintf("account-%d", n%s.accounts), leads: n < s.accounts, settles: settleFor,
			machine: net.IPv4(127, 1, byte(n/podsPerMachine>>8), byte(n/podsPerMachine)),
			node:    fmt.Sprintf("sidecar~%s~%s.fleet~fleet.svc.cluster.local", address, pod),
		})
	}
	for _, w := range f.workloads[:s.slow] {
		w.settles = slowFor
	}
	for part := range slices.Chunk(f.workloads, 1000) { // a file has its limit
		if err := os.WriteFile(filepath.Join(manifests, part[0].pod+".yaml"), []byte(f.manifest(part)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.ensignd = startEnsignd(t, manifests, s.args...)
	text, err := os.ReadFile(filepath.Join(f.ensignd.data, "bundle.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if f.first, err = ca.ParseBundle(text); err != nil {
		t.Fatal(err)
	}
	f.enrol(t)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, w := range f.workloads {
		running.Go(func() { w.run(ctx) })
	}
	f.eventually(t, "all workloads report", func() bool { return len(f.reported) == s.pods && f.sequence > 0 })
	return f
}

// manifest is some of the fleet as YAML; the first of an account brings that along.
func (f *rotatingFleet) manifest(part []*workload) string {
	var yaml strings.Builder
	if part[0] == f.workloads[0] {
		fmt.Fprint(&yaml, "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: fleet}\n")
	}
	for _, w := range part {
		if w.leads {
			fmt.Fprintf(&yaml, "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: %s, namespace: fleet}\n", w.account)
		}
		ip := strings.Split(w.node, "~")[1]
		fmt.Fprintf(&yaml, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: %[1]s, namespace: fleet, uid: uid-%[1]s, labels: {app: %[2]s, security.istio.io/tlsMode: istio}}\n"+
			"spec: {serviceAccountName: %[2]s, nodeName: node, containers: [{name: app, image: app}]}\n"+
			"status: {phase: Running, podIP: %[3]s, podIPs: [{ip: %[3]s}], conditions: [{type: Ready, status: \"True\"}]}\n", w.pod, w.account, ip)
	}
	return yaml.String()
}

// enrolling is how many get their first SVID at a time: a connection takes 16 streams.
const enrolling = 12

// enrol gives everybody a first SVID.
func (f *rotatingFleet) enrol(t testing.TB) {
	t.Helper()
	conn, err := f.dial(nil, nil, f.first)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	queue, failed := make(chan *workload), make(chan error, enrolling)
	var all sync.WaitGroup
	for range enrolling {
		all.Go(func() {
			for w := range queue {
				if err := w.enrol(t.Context(), conn); err != nil {
					failed <- fmt.Errorf("%s: %w", w.pod, err)
					return
				}
			}
		})
	}
	for _, w := range f.workloads {
		select {
		case queue <- w:
		case err := <-failed:
			close(queue)
			t.Fatal(err)
		}
	}
	close(queue)
	all.Wait()
	close(failed)
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func (w *workload) enrol(ctx context.Context, conn *grpc.ClientConn) error {
	made, err := w.fleet.ensignd.admin.CreateToken(ctx, &ensignv1.CreateTokenRequest{
		Namespace: "fleet", ServiceAccount: w.account, Pod: w.pod, Ttl: durationpb.New(time.Hour),
	})
	if err != nil {
		return err
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+made.GetToken())
	if w.svid, err = w.fleet.issue(ctx, conn); err != nil {
		return err
	}
	w.bundle = w.svid.bundle
	return nil
}

// says notes what a workload is about to report.
func (f *rotatingFleet) says(pod string, said word) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reported[pod] = said
}

// told holds what one is told first of all against what all have reported. Where
// another root signs, everybody must trust both already; where a root is gone, nobody
// may live on it.
func (f *rotatingFleet) told(pod string, t *ensignv1.Trust, bundle ca.Bundle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.GetSequence() <= f.sequence {
		return
	}
	began := f.sequence == 0
	f.sequence = t.GetSequence()
	if began {
		return
	}
	trusted := map[string]bool{}
	for _, root := range bundle.Roots() {
		trusted[fingerprint(root.Raw)] = true
	}
	for name, said := range f.reported {
		if !trusted[said.root] {
			f.faults[fmt.Sprintf("%s lived on a root that %s was told to forget", name, pod)]++
		}
		if said.root != t.GetRoot() && len(trusted) > 1 && f.signs(t) && said.bundle != bundle.Hash() {
			f.faults[fmt.Sprintf("%s did not trust the root that %s was told to live on", name, pod)]++
		}
	}
}

// signs says whether a Trust names a root on which nobody lives yet.
func (f *rotatingFleet) signs(t *ensignv1.Trust) bool {
	for _, said := range f.reported {
		if said.root == t.GetRoot() {
			return false
		}
	}
	return true
}

func (f *rotatingFleet) issued() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.issues = append(f.issues, time.Now())
}

// refused: who was told that ensignd is away or busy comes again, and that is no fault.
func (f *rotatingFleet) refused(err error) {
	if code := status.Code(err); code == codes.Unavailable || f.shed && code == codes.ResourceExhausted {
		f.broken()
		return
	}
	f.fault("a renewal was refused", err)
}

func (f *rotatingFleet) broken() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.brokenStreams++
}

func (f *rotatingFleet) fault(what string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[fmt.Sprintf("%s: %v", what, err)]++
}

// check fails the test for what must not have happened.
func (f *rotatingFleet) check(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	shown := 0
	for fault, times := range f.faults {
		if shown++; shown > 10 {
			t.Errorf("and %d more kinds", len(f.faults)-10)
			return
		}
		t.Errorf("%s (%d times)", fault, times)
	}
}

// rest forgets what was issued so far.
func (f *rotatingFleet) rest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.issues = nil
}

// peak is how many SVIDs were issued since the last rest, and at most within a second.
func (f *rotatingFleet) peak() (all, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortFunc(f.issues, time.Time.Compare)
	from := 0
	for i, at := range f.issues {
		for at.Sub(f.issues[from]) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return len(f.issues), most
}

func (f *rotatingFleet) eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		f.mu.Lock()
		ok := holds()
		f.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			f.check(t)
			t.Fatalf("not after five minutes: %s", what)
		}
	}
}

func (f *rotatingFleet) broke() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.brokenStreams
}
