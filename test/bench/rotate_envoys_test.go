package bench

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/load"
)

// handshakes makes every request one: Envoys would do it all with a few connections.
const handshakes = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: fleet}
spec:
  host: web.fleet.svc.cluster.local
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
`

// BenchmarkRotationOfEnvoys is the root's way from ensignd into Vault, to Vault's next
// root and back again, each with a window of 30 s, with 20 real Envoys under 200 requests
// a second on fresh and on kept connections, none of which may fail. Use -benchtime 1x.
func BenchmarkRotationOfEnvoys(b *testing.B) {
	l := envoyFleet(b, lab.VaultConfig{Binary: need.Vault(b), Deploy: filepath.Join(need.Tree(b), "deploy", "vault")})
	if err := l.Apply("handshakes.yaml", handshakes); err != nil {
		b.Fatal(err)
	}
	for _, way := range []struct {
		name string
		args []string
	}{
		{"builtin-to-vault", []string{"ca", "rotate", "root", "--via", "vault", "--window", "30s"}},
		{"vault-to-vault", []string{"ca", "rotate", "root", "--via", "vault", "--window", "30s"}},
		{"rollback", []string{"ca", "rollback"}},
	} {
		b.Run(way.name, func(b *testing.B) {
			for b.Loop() {
				rotateUnderLoad(b, l, way.args)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func rotateUnderLoad(b *testing.B, l *lab.Lab, args []string) {
	b.Helper()
	before, err := l.Authority(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	last := ""
	if before.Rotation != nil {
		last = before.Rotation.ID
	}
	zero, err := l.Zero(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	loads, stop := requests(b, l)
	used := processTimes(b, l)
	if r := l.Ensign(b.Context(), args...); r.Code != 0 {
		b.Fatalf("exit %d: %s", r.Code, r.Output)
	}
	course, err := l.Watch(b.Context(), last, nil)
	if err != nil {
		b.Fatal(err)
	}
	for who, at := range processTimes(b, l) {
		b.ReportMetric((at - used[who]).Seconds(), who+"-cpu-s")
	}
	stop()
	b.ReportMetric(course.Took().Seconds(), "s")
	b.Logf("the steps:\n%s", course)
	unnoticed(b, l, zero, course, []load.Report{<-loads, <-loads})
}

// requests are what goes on meanwhile.
func requests(b *testing.B, l *lab.Lab) (loads <-chan load.Report, stop func()) {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	reports := make(chan load.Report, 2)
	for _, fresh := range []bool{true, false} {
		go func() {
			r, err := l.Pod("victim-0").Load(ctx, load.Plan{
				URL: "http://web.fleet:9080/books/1", Fresh: fresh, Workers: 8, Rate: 100, For: 10 * time.Minute, Slice: time.Second,
			})
			if err != nil {
				b.Error(err)
			}
			reports <- r
		}()
	}
	return reports, stop
}

// unnoticed fails for each request that failed, and each fault that an Envoy counted.
func unnoticed(b *testing.B, l *lab.Lab, zero lab.Zero, course lab.Course, loads []load.Report) {
	b.Helper()
	after, err := l.Zero(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if faults := after.Since(zero).Faults(); len(faults) > 0 {
		b.Errorf("faults behind the clients' back: %v", faults)
	}
	sent := 0
	for _, r := range loads {
		b.Log(r)
		if sent += r.Sent; r.Failed > 0 || r.Sent == 0 {
			b.Errorf("%d of %d requests failed: %v\n%s", r.Failed, r.Sent, r.Failures, course.Beside(time.Second, loads...))
		}
	}
	b.ReportMetric(float64(sent), "requests")
}

// processTimes is the CPU time of ensignd, and of all agents and all Envoys.
func processTimes(b *testing.B, l *lab.Lab) map[string]time.Duration {
	b.Helper()
	times := map[string]time.Duration{"ensignd": cpuOf(b, l.Control.Process().PID)}
	for _, p := range l.Sidecars() {
		envoy, err := p.EnvoyPID()
		if err != nil {
			b.Fatal(err)
		}
		times["agents"] += cpuOf(b, p.Agent().PID)
		times["envoys"] += cpuOf(b, envoy)
	}
	return times
}
