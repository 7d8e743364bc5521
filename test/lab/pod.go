package lab

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ensign-mesh/ensign/test/lab/netns"
)

// PodSpec describes a pod to add.
type PodSpec struct {
	// Name is unique in the lab.
	Name string
	// Namespace is the cluster's. Empty: a machine outside of the cluster.
	Namespace string
	Account   string
	Labels    map[string]string
	// App is the app's argv; a first word without a slash is one of the lab's
	// programs. Empty: no app.
	App []string
	// Port is what the app listens on, waited for. 0: nothing.
	Port int
	// Sidecar gives it capture, an agent and an Envoy.
	Sidecar bool
	// Agent are further arguments of its ensign-agent.
	Agent []string
	// Confined: its agent may not copy Envoy's sockets, as under the default seccomp
	// profile of a container.
	Confined bool
	// RunDisk has the run folder of its agent on a disk of its own of so many bytes; 0: it
	// has not.
	RunDisk int64
	// TokenTTL is how long its token holds; 0: a day.
	TokenTTL time.Duration
}

// Pod is one pod of the lab.
type Pod struct {
	PodSpec
	Net *netns.Namespace
	// Dir holds its token, the bundle and the agent's run folder.
	Dir string
	// Disk is the one that the run folder is on; nil if it has none of its own.
	Disk *Disk

	lab *Lab

	mu     sync.Mutex
	agent  *netns.Process
	app    *netns.Process
	labels map[string]string
	ready  bool
}

// Agent is its running or last ensign-agent; nil for a pod without sidecar.
func (p *Pod) Agent() *netns.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.agent
}

// App is its running or last app.
func (p *Pod) App() *netns.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.app
}

// ID is the SPIFFE ID that it should have.
func (p *Pod) ID() string {
	return fmt.Sprintf("spiffe://cluster.local/ns/%s/sa/%s", p.Namespace, p.Account)
}

// SetReady says whether services send to it; Sync makes it known.
func (p *Pod) SetReady(ready bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = ready
}

// SetLabels changes its labels; Sync makes it known.
func (p *Pod) SetLabels(labels map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.labels = maps.Clone(labels)
}

// object is the Pod as a cluster would hold it.
func (p *Pod) object() *corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	labels := maps.Clone(p.labels)
	if labels == nil {
		labels = map[string]string{}
	}
	if p.Sidecar {
		labels["security.istio.io/tlsMode"] = "istio"
	}
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, Labels: labels, UID: types.UID("lab-" + uid(p.Namespace, p.Name))},
		Spec: corev1.PodSpec{ServiceAccountName: p.Account, NodeName: "lab",
			Containers: []corev1.Container{{Name: "app", Image: "lab"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: p.Net.IP.String(), PodIPs: []corev1.PodIP{{IP: p.Net.IP.String()}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

// serves says whether the service selects the pod, and whether it is ready.
func (p *Pod) serves(s *corev1.Service) (ready, selected bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Namespace != s.Namespace || len(s.Spec.Selector) == 0 {
		return false, false
	}
	for key, value := range s.Spec.Selector {
		if p.labels[key] != value {
			return false, false
		}
	}
	return p.ready, true
}

// hosts are the names that a program in that namespace of the cluster knows.
func (l *Lab) hosts(namespace string, services []*corev1.Service) map[string]netip.Addr {
	names := map[string]netip.Addr{}
	if l.Control != nil {
		names = l.Control.hosts()
	}
	for _, s := range services {
		vip, err := netip.ParseAddr(s.Spec.ClusterIP)
		if err != nil {
			continue
		}
		host := s.Name + "." + s.Namespace
		for _, suffix := range []string{"", ".svc", ".svc.cluster.local"} {
			names[host+suffix] = vip
		}
		if s.Namespace == namespace {
			names[s.Name] = vip
		}
	}
	return names
}

// startApp runs the app and waits until it listens.
func (p *Pod) startApp(ctx context.Context) error {
	if len(p.PodSpec.App) == 0 {
		return nil
	}
	argv := append([]string{}, p.PodSpec.App...)
	if !strings.Contains(argv[0], "/") {
		argv[0] = p.lab.program(argv[0])
	}
	process, err := p.Net.Start(netns.Spec{Name: p.Name + ".app", Argv: argv, UID: appUID, Env: []string{"POD_NAME=" + p.Name}})
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.app = process
	p.mu.Unlock()
	if p.Port == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		var conn net.Conn
		if conn, err = p.Net.Dial(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", p.Port)); err == nil {
			return conn.Close()
		}
		select {
		case <-process.Done():
			return fmt.Errorf("app %s ended:\n%s", p.Name, process.Tail())
		case <-ctx.Done():
			return fmt.Errorf("waiting for app %s: %w", p.Name, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// folder makes the pod's folder, which only its agent may read.
func (p *Pod) folder() error {
	p.Dir = filepath.Join(p.lab.Dir(), "pods", p.Name)
	if err := os.MkdirAll(filepath.Join(p.Dir, "run"), 0o755); err != nil {
		return err
	}
	for _, dir := range []string{p.Dir, filepath.Join(p.Dir, "run")} {
		if err := chown(dir, 0o700); err != nil {
			return err
		}
	}
	if p.RunDisk == 0 {
		return nil
	}
	var err error
	p.Disk, err = mountDisk(filepath.Join(p.Dir, "run"), p.RunDisk, netns.ProxyUID)
	return err
}
