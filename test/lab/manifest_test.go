package lab

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/ensign-mesh/ensign/test/lab/netns"
)

func fakePod(name, namespace, ip string, labels map[string]string) *Pod {
	return &Pod{
		PodSpec: PodSpec{Name: name, Namespace: namespace, Account: name, Sidecar: true},
		Net:     &netns.Namespace{IP: netip.MustParseAddr(ip)}, labels: labels, ready: true,
	}
}

func TestSliceFollowsTheSelector(t *testing.T) {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "reviews", Namespace: "shop"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "reviews"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(9080)}, {Name: "raw", Port: 7000}}},
	}
	out := fakePod("out", "shop", "10.77.0.5", map[string]string{"app": "reviews"})
	out.SetReady(false)
	s := slice(service, []*Pod{
		fakePod("in", "shop", "10.77.0.2", map[string]string{"app": "reviews", "version": "v1"}),
		fakePod("other-label", "shop", "10.77.0.3", map[string]string{"app": "ratings"}),
		fakePod("other-namespace", "stock", "10.77.0.4", map[string]string{"app": "reviews"}),
		out,
	})
	var got []string
	for _, e := range s.Endpoints {
		got = append(got, e.Addresses[0]+" "+map[bool]string{true: "ready", false: "not ready"}[*e.Conditions.Ready])
	}
	if strings.Join(got, ", ") != "10.77.0.2 ready, 10.77.0.5 not ready" {
		t.Errorf("endpoints: %v", got)
	}
	if *s.Ports[0].Port != 9080 || *s.Ports[1].Port != 7000 {
		t.Errorf("ports: %v", s.Ports)
	}
}

func TestServicesAreReadFromPeoplesYAML(t *testing.T) {
	l := &Lab{manifests: t.TempDir()}
	if err := l.copyManifests("../../examples/bookshop/manifests"); err != nil {
		t.Fatal(err)
	}
	services, err := l.services()
	if err != nil {
		t.Fatal(err)
	}
	hosts := l.hosts("shop", services)
	for name, vip := range map[string]string{
		"reviews": "10.96.0.11", "reviews.shop": "10.96.0.11", "ratings.stock.svc.cluster.local": "10.96.0.13",
	} {
		if hosts[name].String() != vip {
			t.Errorf("%s is at %s, want %s", name, hosts[name], vip)
		}
	}
	if _, known := hosts["ratings"]; known {
		t.Error("a short name of another namespace is known")
	}
}

func TestApplyReplacesAndRemoves(t *testing.T) {
	l := &Lab{manifests: t.TempDir()}
	for _, text := range []string{"a: 1\n", "a: 2\n"} {
		if err := l.Apply("x.yaml", text); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(filepath.Join(l.manifests, "x.yaml")); string(got) != text {
			t.Errorf("got %q", got)
		}
	}
	for range 2 {
		if err := l.Apply("x.yaml", ""); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := os.ReadDir(l.manifests); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestPodObjectIsWhatAClusterHolds(t *testing.T) {
	data, err := yaml.Marshal(fakePod("reviews-v1", "shop", "10.77.0.2", map[string]string{"app": "reviews"}).object())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"security.istio.io/tlsMode: istio", "serviceAccountName: reviews-v1", "podIP: 10.77.0.2", "phase: Running"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %q in\n%s", want, data)
		}
	}
}
