package manifest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const podYAML = `apiVersion: v1
kind: Pod
metadata: {name: svc-%[1]d-%[2]d, namespace: ns-%[3]d, labels: {app: svc-%[1]d, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: svc-%[1]d, containers: [{name: app, ports: [{containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.%[4]d.%[5]d.%[2]d}
`

const serviceYAML = `apiVersion: v1
kind: Service
metadata: {name: svc-%[1]d, namespace: ns-%[2]d}
spec: {clusterIP: None, selector: {app: svc-%[1]d}, ports: [{name: http, port: 80, targetPort: 8080}]}
`

// fill writes 1,000 services in 20 namespaces with 2 to 5 pods each, a file each.
func fill(t testing.TB, dir string) {
	for i := range 1000 {
		docs := []string{fmt.Sprintf(serviceYAML, i, i%20)}
		for j := range 2 + i%4 {
			docs = append(docs, fmt.Sprintf(podYAML, i, j+1, i%20, i/250, i%250))
		}
		write(t, dir, fmt.Sprintf("ns-%d/svc-%d.yaml", i%20, i), strings.Join(docs, "---\n"))
	}
}

func BenchmarkFirstLook(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir)
	for b.Loop() {
		if out := mustLook(b, newTestState(dir), time.Now()); len(out.update.Upserts) != 4500 {
			b.Fatal(len(out.update.Upserts))
		}
	}
}

func BenchmarkLookAfterOneEdit(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir)
	s := newTestState(dir)
	now := time.Now().Add(time.Minute)
	mustLook(b, s, now)
	i := 0
	for b.Loop() {
		i++
		write(b, dir, "ns-7/svc-7.yaml", fmt.Sprintf(serviceYAML, 7, 7)+fmt.Sprintf("---\n"+podYAML, 7, 1, 7, i/250%250, i%250))
		if out := mustLook(b, s, now); out.update.Empty() {
			b.Fatal("nothing changed")
		}
	}
}
