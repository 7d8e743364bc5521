package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab"
)

// envoys is how many real ones the mesh has in which keys are stolen: two servers,
// the rest are robbed in turn.
const envoys = 20

// BenchmarkRevoke is the time from the command to the refusal of the last of a
// thief's connections in use (HTTP/1.1, HTTP/2, TCP, new ones), and until the
// command says that everybody obeys, with 20 real Envoys. Use -benchtime 20x.
func BenchmarkRevoke(b *testing.B) {
	l := envoyFleet(b, lab.VaultConfig{})
	var last, returned []time.Duration
	for n := 0; b.Loop(); n++ {
		victim := l.Pod(fmt.Sprintf("victim-%d", n%(envoys-2)))
		loot, err := victim.StealKey(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		thief := lab.NewThief(l.Pod("outsider"), loot)
		holds, err := thief.Holds(b.Context(), l.Pod("web"), l.Pod("echo"))
		if err != nil {
			b.Fatal(err)
		}
		line, err := lab.CutOff(b.Context(), holds, func() lab.Result {
			return l.Ensign(b.Context(), "revoke", "--serial", loot.Leaf.SerialNumber.Text(16), "--wait=30s")
		})
		if err != nil {
			b.Errorf("%v\n%s", err, line)
		}
		last, returned = append(last, line.Last()), append(returned, line.Returned)
		for _, h := range holds {
			h.Close()
		}
	}
	for name, took := range map[string][]time.Duration{"last-refusal": last, "all-obey": returned} {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, name+"-p50-ms")
		b.ReportMetric(float64(took[len(took)-1].Microseconds())/1e3, name+"-max-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// envoyFleet is a mesh of 20 sidecars and a machine outside.
func envoyFleet(b *testing.B, vault lab.VaultConfig) *lab.Lab {
	b.Helper()
	need.Root(b)
	l, err := lab.Open(b.Context(), lab.Config{Bin: need.Programs(b, "ensignd", "ensign-agent", "ensign", "bookshop"), Envoy: need.Envoy(b), Vault: vault})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	pods := []lab.PodSpec{{Name: "outsider"}}
	var yaml strings.Builder
	fmt.Fprint(&yaml, "apiVersion: v1\nkind: Namespace\nmetadata: {name: fleet}\n")
	add := func(name string, app []string, port int) {
		fmt.Fprintf(&yaml, "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: %s, namespace: fleet}\n", name)
		pods = append(pods, lab.PodSpec{Name: name, Namespace: "fleet", Account: name, Sidecar: true, Labels: map[string]string{"app": name}, App: app, Port: port})
		if port > 0 {
			protocol := map[int]string{9080: "http", 7000: "tcp"}[port]
			fmt.Fprintf(&yaml, "---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: fleet}\nspec:\n  clusterIP: 10.96.0.%d\n  selector: {app: %s}\n  ports: [{name: %s, port: %d}]\n",
				name, len(pods), name, protocol, port)
		}
	}
	add("web", []string{"bookshop", "serve", "--service", "web", "--listen", ":9080"}, 9080)
	add("echo", []string{"bookshop", "echo", "--listen", ":7000"}, 7000)
	for n := range envoys - 2 {
		add(fmt.Sprintf("victim-%d", n), nil, 0)
	}
	if err := l.Apply("fleet.yaml", yaml.String()); err != nil {
		b.Fatal(err)
	}
	if err := l.AddPods(b.Context(), pods...); err != nil {
		b.Fatal(err)
	}
	return l
}
