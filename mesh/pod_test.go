package mesh

import (
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWorkloadOfPod(t *testing.T) {
	p := newPod("shop", "web-1", "10.0.0.1", "", map[string]string{"app": "web"})
	p.UID, p.Spec.NodeName = "u-1", "node-1"
	p.Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "FD00::1"}}
	_, s := build(t, podObject(p))
	got := s.Workloads[Key{"shop", "web-1"}]
	if got.UID != "u-1" || got.Node != "node-1" || got.Account.ID() != spiffe("shop", "default") || !got.Sidecar || !got.Ready ||
		!slices.Equal(got.IPs, []string{"10.0.0.1", "fd00::1"}) || got.Labels["app"] != "web" || got.Inbound == nil {
		t.Errorf("got %+v", got)
	}
}

func TestWhichPodsAreWorkloads(t *testing.T) {
	now := metav1.NewTime(time.Unix(1, 0))
	for name, c := range map[string]struct {
		change          func(p *corev1.Pod)
		workload, ready bool
	}{
		"running":     {func(*corev1.Pod) {}, true, true},
		"no phase":    {func(p *corev1.Pod) { p.Status.Phase = "" }, true, true},
		"pending":     {func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }, true, true},
		"terminating": {func(p *corev1.Pod) { p.DeletionTimestamp = &now }, true, false},
		"succeeded":   {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, false, false},
		"failed":      {func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, false, false},
		"no address":  {func(p *corev1.Pod) { p.Status.PodIP = "" }, false, false},
	} {
		p := newPod("shop", "web-1", "10.0.0.1", "web", nil)
		c.change(p)
		_, s := build(t, podObject(p))
		got := s.Workloads[Key{"shop", "web-1"}]
		if (got != nil) != c.workload || got != nil && got.Ready != c.ready {
			t.Errorf("%s: got %+v, want a workload %v, ready %v", name, got, c.workload, c.ready)
		}
	}
}

func TestNamedPorts(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	port := func(name string, number int32, protocol corev1.Protocol) corev1.Container {
		return corev1.Container{Ports: []corev1.ContainerPort{{Name: name, ContainerPort: number, Protocol: protocol}}}
	}
	sidecar := port("stays", 4, "")
	sidecar.RestartPolicy = &always
	spec := corev1.PodSpec{
		Containers:     []corev1.Container{port("a", 1, corev1.ProtocolTCP), port("a", 2, ""), port("u", 3, corev1.ProtocolUDP), port("", 5, ""), port("huge", 70000, "")},
		InitContainers: []corev1.Container{sidecar, port("leaves", 6, "")},
	}
	if got, want := namedPorts(spec), map[string]uint32{"a": 1, "stays": 4}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPodReadiness(t *testing.T) {
	condition := func(kind corev1.PodConditionType, status corev1.ConditionStatus) corev1.PodStatus {
		return corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: kind, Status: status}}}
	}
	for name, c := range map[string]struct {
		status corev1.PodStatus
		want   bool
	}{
		"says nothing": {corev1.PodStatus{}, true}, "ready": {condition(corev1.PodReady, corev1.ConditionTrue), true},
		"not ready": {condition(corev1.PodReady, corev1.ConditionFalse), false}, "unknown": {condition(corev1.PodReady, corev1.ConditionUnknown), false},
		"something else": {condition(corev1.PodScheduled, corev1.ConditionFalse), true},
	} {
		if got := podReady(c.status); got != c.want {
			t.Errorf("%s: ready is %v", name, got)
		}
	}
}

// A bad new version of a pod must not take its account away, nor lend it another.
func TestPodWithBadAccountKeepsItsOwn(t *testing.T) {
	b, _ := build(t, podObject(newPod("shop", "web-1", "10.0.0.1", "web", nil)))
	for _, account := range []string{"a/b", "../x", "A", "a b", "ü"} {
		s, _, problems := b.Apply(Update{Upserts: []Object{podObject(newPod("shop", "web-1", "10.0.0.1", account, nil))}})
		if got := s.Workloads[Key{"shop", "web-1"}].Account.Name; got != "web" || len(problems) != 1 {
			t.Errorf("account %q: workload runs as %q, problems %+v", account, got, problems)
		}
	}
}
