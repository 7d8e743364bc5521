package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The fleet is this test binary run again with this variable set; it takes
// orders on its standard input and reports on its standard output, one JSON
// value each.
const fleetProcess = "ENSIGN_BENCH_FLEET"

func TestMain(m *testing.M) {
	if os.Getenv(ensigndProcess) != "" {
		os.Exit(runEnsignd())
	}
	if os.Getenv(fleetProcess) == "" {
		os.Exit(m.Run())
	}
	if err := runFleet(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// enrolment is all that the fleet needs to know of the server.
type enrolment struct {
	Address string
	Root    []byte
	Members []member
}

// member is one simulated Envoy.
type member struct {
	Node             string
	Certificate, Key []byte
}

// order is what the fleet shall do.
type order struct {
	// Connect opens all streams; Fresh forgets all versions first.
	Connect, Fresh bool
	// Disconnect ends them.
	Disconnect bool
	// Settle waits until nothing has come for a while, and reports; AtLeast that
	// many responses must have come.
	Settle  bool
	AtLeast int64
}

// report is what the fleet saw since the last one.
type report struct {
	Responses, Resources, Bytes int64
	LastAck                     time.Time
	Error                       string
}

// still is how long nothing must come until all is taken to have come.
const still = 500 * time.Millisecond

// patience is how long the fleet waits for what must come.
const patience = time.Minute

// fleet is all simulated Envoys.
type fleet struct {
	members   []*envoy
	responses atomic.Int64
	resources atomic.Int64
	bytes     atomic.Int64
	lastAck   atomic.Int64 // Unix nanoseconds
	failed    atomic.Pointer[string]
}

func runFleet(in io.Reader, out io.Writer) error {
	orders, reports := json.NewDecoder(in), json.NewEncoder(out)
	var e enrolment
	if err := orders.Decode(&e); err != nil {
		return err
	}
	f := &fleet{}
	for _, m := range e.Members {
		member, err := newEnvoy(f, e, m)
		if err != nil {
			return err
		}
		f.members = append(f.members, member)
	}
	for {
		var o order
		if err := orders.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := reports.Encode(f.obey(o)); err != nil {
			return err
		}
	}
}

func (f *fleet) obey(o order) report {
	var all sync.WaitGroup
	for _, m := range f.members {
		all.Go(func() {
			if o.Disconnect {
				m.disconnect()
			}
			if o.Connect {
				if err := m.connect(context.Background(), o.Fresh); err != nil {
					f.fail(err)
				}
			}
		})
	}
	all.Wait()
	if !o.Settle {
		return report{}
	}
	f.settle(o.AtLeast)
	r := report{Responses: f.responses.Swap(0), Resources: f.resources.Swap(0), Bytes: f.bytes.Swap(0), LastAck: time.Unix(0, f.lastAck.Load())}
	if failed := f.failed.Load(); failed != nil {
		r.Error = *failed
	}
	return r
}

// settle waits until enough has come and then nothing for a while.
func (f *fleet) settle(enough int64) {
	deadline := time.Now().Add(patience)
	for seen := int64(-1); seen < enough || seen != f.responses.Load(); {
		if time.Now().After(deadline) {
			f.fail(fmt.Errorf("%d responses within %s, want %d or more", seen, patience, enough))
			return
		}
		seen = f.responses.Load()
		time.Sleep(still)
	}
}

func (f *fleet) fail(err error) {
	text := err.Error()
	f.failed.Store(&text)
}

// remote is the fleet as the serving process knows it.
type remote struct {
	orders  *json.Encoder
	reports *json.Decoder
	end     func() // ends the process
}

// startFleet runs the second process.
func startFleet(b *testing.B, c *control) *remote {
	e := enrolment{Address: c.address, Root: c.ca.certificate.Raw}
	for i := range streams {
		ns, name := namespace(i), named(i)
		certificate, key := c.ca.svid(b, ns, name)
		e.Members = append(e.Members, member{
			Node:        fmt.Sprintf("sidecar~10.1.0.1~%s.%s~%s.svc.cluster.local", podName(name, 0), ns, ns),
			Certificate: certificate, Key: key,
		})
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fleetProcess+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	r := &remote{orders: json.NewEncoder(in), reports: json.NewDecoder(out), end: func() {
		_ = in.Close()
		_ = cmd.Wait()
	}}
	if err := r.orders.Encode(e); err != nil {
		b.Fatal(err)
	}
	return r
}

// order hands an order over and waits until it is done.
func (r *remote) order(b *testing.B, o order) report {
	b.Helper()
	var answer report
	if err := r.orders.Encode(o); err != nil {
		b.Fatal(err)
	}
	if err := r.reports.Decode(&answer); err != nil {
		b.Fatalf("the fleet is gone: %v", err)
	}
	if answer.Error != "" {
		b.Fatalf("the fleet failed: %s", answer.Error)
	}
	return answer
}
